// Sends one push with the generated client: ../README.md.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"

	"send/pyapns"
)

func main() {
	url, key, certificateFile, appID, token := os.Args[1], os.Args[2], os.Args[3], os.Args[4], os.Args[5]
	settings := pyapns.NewConfiguration()
	settings.Servers = pyapns.ServerConfigurations{{URL: url}}
	client := pyapns.NewAPIClient(settings)
	ctx := context.WithValue(context.Background(), pyapns.ContextAccessToken, key)

	pem, err := os.ReadFile(certificateFile)
	check(err)
	certificate := pyapns.NewCertificateProvisioning(string(pem))
	certificate.SetTimeout(20)
	provisioning := pyapns.CertificateProvisioningAsProvisioning(certificate)
	app, _, err := client.AppsAPI.ProvisionApp(ctx, appID, pyapns.SANDBOX).Provisioning(provisioning).Execute()
	check(err)
	fmt.Println(app.Response.Credential.Fingerprint)

	push := pyapns.NewNotification(map[string]any{"aps": map[string]any{"alert": "Grüße"}})
	push.SetToken(token)
	name := "order 7"
	push.SetIdentifier(pyapns.StringAsIdentifier(&name))
	push.SetPriority(pyapns.CONSIDERATE)
	list := []pyapns.Notification{*push}
	request := pyapns.ArrayOfNotificationAsSendRequest(&list)
	sent, _, err := client.NotificationsAPI.SendNotifications(ctx, appID, pyapns.SANDBOX).SendRequest(request).Execute()
	check(err)
	outcome := (*sent.Response.ArrayOfOutcome)[0]
	fmt.Printf("%s\t%d\t%s\t%v\n", outcome.Outcome, outcome.GetStatus(), outcome.GetApnsId(), outcome.Identifier)

	_, _, err = client.AppsAPI.GetApp(ctx, "absent", pyapns.SANDBOX).Execute()
	var refused *pyapns.GenericOpenAPIError
	if !errors.As(err, &refused) {
		log.Fatalf("no refusal: %v", err)
	}
	fmt.Println(refused.Model().(pyapns.ErrorResponse).Reason)
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
