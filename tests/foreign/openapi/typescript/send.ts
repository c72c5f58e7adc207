// Sends one push with the generated client: ../README.md.

import { isAxiosError } from "axios";
import { readFileSync } from "node:fs";
import { AppsApi, Configuration, ErrorResponse, Notification, NotificationsApi, Outcome, Priority } from "./pyapns";

async function main() {
    const [url, key, certificateFile, appId, token] = process.argv.slice(2);
    const settings = new Configuration({ basePath: url, accessToken: key });
    const apps = new AppsApi(settings);

    const certificate = readFileSync(certificateFile, "utf8");
    const app = await apps.provisionApp(appId, "sandbox", { certificate, timeout: 20 });
    console.log(app.data.response.credential.fingerprint);

    const payload = { aps: { alert: "Grüße" } };
    const push: Notification = { token, payload, identifier: "order 7", priority: Priority.CONSIDERATE };
    const sent = await new NotificationsApi(settings).sendNotifications(appId, "sandbox", [push]);
    const [outcome] = sent.data.response as Outcome[];
    console.log([outcome.outcome, outcome.status, outcome.apns_id, outcome.identifier].join("\t"));

    try {
        await apps.getApp("absent", "sandbox");
        throw new Error("no refusal");
    } catch (error) {
        if (!isAxiosError<ErrorResponse>(error)) throw error;
        console.log(error.response?.data.reason);
    }
}

main().catch((error) => {
    console.error(error);
    process.exit(1);
});
