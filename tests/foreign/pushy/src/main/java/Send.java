import com.eatthepath.pushy.apns.ApnsClient;
import com.eatthepath.pushy.apns.ApnsClientBuilder;
import com.eatthepath.pushy.apns.DeliveryPriority;
import com.eatthepath.pushy.apns.PushNotificationResponse;
import com.eatthepath.pushy.apns.PushType;
import com.eatthepath.pushy.apns.auth.ApnsSigningKey;
import com.eatthepath.pushy.apns.util.SimpleApnsPushNotification;
import java.io.BufferedReader;
import java.io.ByteArrayInputStream;
import java.io.File;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyFactory;
import java.security.PrivateKey;
import java.security.cert.CertificateFactory;
import java.security.cert.X509Certificate;
import java.security.spec.PKCS8EncodedKeySpec;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Base64;
import java.util.List;
import java.util.UUID;
import java.util.concurrent.CompletableFuture;

/** Sends with Pushy what standard input lists; see tests/foreign/README.md. */
public final class Send {
    public static void main(String[] arguments) throws Exception {
        int colon = arguments[0].lastIndexOf(':');
        String host = arguments[0].substring(0, colon);
        int port = Integer.parseInt(arguments[0].substring(colon + 1));
        ApnsClientBuilder builder = new ApnsClientBuilder()
            .setApnsServer(host, port)
            .setTrustedServerCertificateChain(new File(arguments[1]));
        if (arguments[2].equals("certificate")) {
            String pem = Files.readString(Path.of(arguments[3]));
            builder.setClientCredentials(certificate(pem), key(pem), null);
        } else {
            File key = new File(arguments[3]);
            builder.setSigningKey(ApnsSigningKey.loadFromPkcs8File(key, arguments[5], arguments[4]));
        }
        ApnsClient client = builder.build();
        List<CompletableFuture<PushNotificationResponse<SimpleApnsPushNotification>>> answers = new ArrayList<>();
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            answers.add(client.sendNotification(notification(line.split("\t", -1))));
        }
        PrintStream out = new PrintStream(System.out, false, StandardCharsets.UTF_8);
        for (CompletableFuture<PushNotificationResponse<SimpleApnsPushNotification>> answer : answers) {
            out.println(told(answer.get()));
        }
        out.flush();
        client.close().get();
    }

    private static SimpleApnsPushNotification notification(String[] fields) {
        PushType type = Arrays.stream(PushType.values())
            .filter(known -> known.getHeaderValue().equals(fields[3]))
            .findFirst()
            .orElseThrow();
        DeliveryPriority priority = Arrays.stream(DeliveryPriority.values())
            .filter(known -> String.valueOf(known.getCode()).equals(fields[4]))
            .findFirst()
            .orElseThrow();
        Instant expiration = Instant.ofEpochSecond(Long.parseLong(fields[5]));
        UUID id = UUID.fromString(fields[1]);
        return new SimpleApnsPushNotification(fields[0], fields[2], fields[6], expiration, priority, type, null, id);
    }

    private static String told(PushNotificationResponse<SimpleApnsPushNotification> answer) {
        String timestamp = answer.getTokenInvalidationTimestamp().map(at -> String.valueOf(at.toEpochMilli())).orElse("");
        String id = answer.getApnsId() == null ? "" : answer.getApnsId().toString();
        return String.join("\t", String.valueOf(answer.getStatusCode()), answer.getRejectionReason().orElse(""), timestamp, id);
    }

    private static X509Certificate certificate(String pem) throws Exception {
        byte[] der = block(pem, "CERTIFICATE");
        return (X509Certificate) CertificateFactory.getInstance("X.509").generateCertificate(new ByteArrayInputStream(der));
    }

    private static PrivateKey key(String pem) throws Exception {
        return KeyFactory.getInstance("EC").generatePrivate(new PKCS8EncodedKeySpec(block(pem, "PRIVATE KEY")));
    }

    private static byte[] block(String pem, String kind) {
        String begin = "-----BEGIN " + kind + "-----";
        int start = pem.indexOf(begin) + begin.length();
        return Base64.getMimeDecoder().decode(pem.substring(start, pem.indexOf("-----END " + kind + "-----")));
    }
}
