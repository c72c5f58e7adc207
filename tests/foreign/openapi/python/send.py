"""Sends one push with the generated client: ../README.md."""

import pathlib
import sys

import pyapns_generated as generated


def main(url, key, certificate_file, app_id, token):
    settings = generated.Configuration(host=url, access_token=key)
    sandbox = generated.Environment.SANDBOX
    with generated.ApiClient(settings) as client:
        apps = generated.AppsApi(client)
        pem = pathlib.Path(certificate_file).read_text()
        certificate = generated.CertificateProvisioning(certificate=pem, timeout=20)
        app = apps.provision_app(app_id, sandbox, generated.Provisioning(certificate))
        print(app.response.credential.fingerprint)

        push = generated.Notification(
            token=token,
            payload={"aps": {"alert": "Grüße"}},
            identifier=generated.Identifier("order 7"),
            priority=generated.Priority.CONSIDERATE,
        )
        request = generated.SendRequest([push])
        sent = generated.NotificationsApi(client).send_notifications(app_id, sandbox, request)
        [outcome] = sent.response.actual_instance
        print(outcome.outcome.value, outcome.status, outcome.apns_id, outcome.identifier, sep="\t")

        try:
            apps.get_app("absent", sandbox)
        except generated.ApiException as refused:
            print(refused.data.reason)


main(*sys.argv[1:])
