// Sends with apns2 what standard input lists; see tests/foreign/README.md.
package main

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"log"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/sideshow/apns2"
	"github.com/sideshow/apns2/certificate"
	"github.com/sideshow/apns2/token"
)

// Pushes in flight at a time: a call waits for its answer.
const atOnce = 100

func main() {
	client, err := connect(os.Args[1:])
	check(err)
	var pushes []*apns2.Notification
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		pushes = append(pushes, notification(strings.Split(lines.Text(), "\t")))
	}
	check(lines.Err())
	answers := make([]*apns2.Response, len(pushes))
	next := make(chan int)
	var senders sync.WaitGroup
	for sender := 0; sender < atOnce; sender++ {
		senders.Add(1)
		go func() {
			defer senders.Done()
			for at := range next {
				answer, err := client.Push(pushes[at])
				check(err)
				answers[at] = answer
			}
		}()
	}
	for at := range pushes {
		next <- at
	}
	close(next)
	senders.Wait()
	for _, answer := range answers {
		timestamp := ""
		if !answer.Timestamp.IsZero() {
			timestamp = strconv.FormatInt(answer.Timestamp.UnixNano()/int64(time.Millisecond), 10)
		}
		fmt.Printf("%d\t%s\t%s\t%s\n", answer.StatusCode, answer.Reason, timestamp, answer.ApnsID)
	}
}

// connect makes a client. Go trusts the authority that SSL_CERT_FILE names, so that the library's own transport is used.
func connect(arguments []string) (*apns2.Client, error) {
	listen, authority, kind, file := arguments[0], arguments[1], arguments[2], arguments[3]
	if err := os.Setenv("SSL_CERT_FILE", authority); err != nil {
		return nil, err
	}
	var client *apns2.Client
	if kind == "certificate" {
		pem, err := certificate.FromPemFile(file, "")
		if err != nil {
			return nil, err
		}
		client = apns2.NewClient(tls.Certificate(pem))
	} else {
		key, err := token.AuthKeyFromFile(file)
		if err != nil {
			return nil, err
		}
		client = apns2.NewTokenClient(&token.Token{AuthKey: key, KeyID: arguments[4], TeamID: arguments[5]})
	}
	client.Host = "https://" + listen
	return client, nil
}

func notification(fields []string) *apns2.Notification {
	priority, err := strconv.Atoi(fields[4])
	check(err)
	expiration, err := strconv.ParseInt(fields[5], 10, 64)
	check(err)
	return &apns2.Notification{
		DeviceToken: fields[0],
		ApnsID:      fields[1],
		Topic:       fields[2],
		PushType:    apns2.EPushType(fields[3]),
		Priority:    priority,
		Expiration:  time.Unix(expiration, 0),
		Payload:     []byte(fields[6]),
	}
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
