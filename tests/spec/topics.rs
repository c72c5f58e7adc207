//! Topic and push type decide each other, for every source of the topic; checked by the simulator and its ledger.

use crate::support::client::{Answer, Client};
use crate::support::forms::openssl;
use crate::support::world::{APP, Credential, World, to, token};
use serde_json::{Value, json};
use simulator::ClientSubject;

/// Every suffix a topic may have, and its push type (apns-protocol.md 6).
const SUFFIXES: [(&str, &str); 8] = [
    (".voip", "voip"),
    (".complication", "complication"),
    (".pushkit.fileprovider", "fileprovider"),
    (".location-query", "location"),
    (".push-type.liveactivity", "liveactivity"),
    (".voip-ptt", "pushtotalk"),
    (".push-type.controls", "controls"),
    (".push-type.widgets", "widgets"),
];

/// The signing key of the world's stand-in, in a body that provisions.
fn key(world: &World, topic: Option<&str>) -> String {
    let identity = world.simulator.identity();
    let (key, key_id, team_id) = (&identity.key_pem, &identity.key_id, &identity.team_id);
    json!({"key": key, "key_id": key_id, "team_id": team_id, "topic": topic}).to_string()
}

async fn provision(client: &mut Client, app: &str, body: impl Into<String>) {
    let answer = client.post(app, body.into()).await;
    assert_eq!(answer.status, 201, "{answer:?}");
}

async fn send(client: &mut Client, app: &str, body: &Value) -> Answer {
    client.post(&format!("{app}/notifications"), body.to_string()).await
}

/// Sends a stream of this line and returns its outcome.
async fn send_line(client: &mut Client, app: &str, line: &str) -> String {
    let kind = ("content-type", "application/x-ndjson");
    let answer = client.post_with(&format!("{app}/notifications"), kind, format!("{line}\n")).await;
    answer.body["outcome"].as_str().unwrap_or("no outcome").to_owned()
}

/// Topic and push type of the newest push that came to the stand-in, which accepted it.
fn newest(world: &World) -> (String, String) {
    let entry = world.simulator.ledger().entries().pop().expect("an entry");
    assert!(entry.accepted, "{entry:?}");
    (entry.topic.expect("a topic"), entry.push_type.expect("a push type"))
}

fn is(topic: &str, push_type: &str) -> (String, String) {
    (topic.to_owned(), push_type.to_owned())
}

/// A "VoIP Services" certificate as Apple makes them, by `openssl`: its topics are in a separate extension.
fn voip_services(world: &World) -> String {
    let (folder, authority) = (world.directory.path(), &world.simulator.identity().authority);
    let marks = "extendedKeyUsage=clientAuth\n1.2.840.113635.100.6.3.1=ASN1:NULL\n1.2.840.113635.100.6.3.2=ASN1:NULL\n\
        1.2.840.113635.100.6.3.4=ASN1:SEQUENCE:topics\n\
        [topics]\nt=UTF8:com.example.app.voip\nk=SEQWRAP,UTF8:voip\n";
    for (name, text) in [("ca.crt", authority.certificate_pem()), ("ca.key", &authority.key_pem()), ("ext", marks)] {
        std::fs::write(folder.join(name), text).expect("a file");
    }
    let run = |command: &str, more: &[&str]| openssl(folder, command, more, "");
    run("genrsa -out voip.key 2048", &[]);
    let subject = "/UID=com.example.app.voip/CN=VoIP Services: com.example.app/OU=TEAM123456/C=US";
    run("req -new -key voip.key -out voip.csr -subj", &[subject]);
    run("x509 -req -in voip.csr -CA ca.crt -CAkey ca.key -set_serial 7 -days 2 -extfile ext -out voip.crt", &[]);
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).expect("a file");
    read("voip.crt") + &read("voip.key")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_voip_certificate_sends_voip_pushes_named_so_or_not() {
    let world = World::start().await;
    let mut client = world.client().await;
    let app = "/apps/calls/sandbox";
    provision(&mut client, app, voip_services(&world)).await;
    let long = json!({"token": token(1), "payload": {"aps": {}, "x": "x".repeat(5_000)}});
    for body in
        [json!({"token": token(1), "push_type": "voip", "payload": {"aps": {"alert": "call"}}}), to(&token(1)), long]
    {
        assert_eq!(send(&mut client, app, &body).await.outcomes(), ["accepted"], "{body}");
        assert_eq!(newest(&world), is("com.example.app.voip", "voip"));
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_lists_one_type_of_push_alone_decides_it() {
    let world = World::start().await;
    let mut client = world.client().await;
    let app = "/apps/calls/sandbox";
    let subject = ClientSubject {
        bundle: "com.example.app",
        topics: &[("com.example.app.voip", "voip")],
        sandbox: true,
        production: true,
        not_before_year: 2020,
        not_after_year: 2100,
    };
    let pem = world.simulator.identity().authority.client_certificate(&subject).expect("a certificate");
    provision(&mut client, app, pem).await;
    assert_eq!(send(&mut client, app, &to(&token(1))).await.outcomes(), ["accepted"]);
    assert_eq!(newest(&world), is("com.example.app.voip", "voip"));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suffix_of_the_apps_topic_or_id_decides_the_push_type_in_every_form_of_request() {
    let world = World::with(Credential::Token).await;
    let mut client = world.client().await;
    for (suffix, push_type) in SUFFIXES {
        let topic = format!("com.example.other{suffix}");
        let (by_topic, by_id) = ("/apps/other/sandbox".to_owned(), format!("/apps/{topic}/sandbox"));
        provision(&mut client, &by_topic, key(&world, Some(&topic))).await;
        provision(&mut client, &by_id, key(&world, None)).await;
        for app in [&by_topic, &by_id] {
            let (one, payload) = (to(&token(1)), json!({"aps": {"alert": "Hello", "content-available": 1}}));
            let many = json!({"tokens": [token(1)], "payload": payload});
            // The escape keeps it from the parser of what is plain.
            let escaped = one.to_string().replace("\"token\"", "\"tok\\u0065n\"");
            let named = json!({"token": token(1), "payload": payload, "push_type": push_type});
            for body in [one.to_string(), json!([one]).to_string(), many.to_string(), named.to_string(), escaped] {
                let answer = client.post(&format!("{app}/notifications"), body.clone()).await;
                assert_eq!(answer.outcomes(), ["accepted"], "{body}");
                assert_eq!(newest(&world), is(&topic, push_type), "{body}");
            }
            assert_eq!(send_line(&mut client, app, &one.to_string()).await, "accepted");
            assert_eq!(newest(&world), is(&topic, push_type));
        }
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_notifications_own_topic_decides_its_push_type() {
    let world = World::with(Credential::Token).await;
    let mut client = world.client().await;
    for (suffix, push_type) in SUFFIXES {
        let topic = format!("com.example.app{suffix}");
        let body = json!({"token": token(1), "payload": {"aps": {"alert": "Hello"}}, "topic": topic});
        assert_eq!(send(&mut client, APP, &body).await.outcomes(), ["accepted"], "{topic}");
        assert_eq!(newest(&world), is(&topic, push_type));
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_type_that_does_not_fit_the_topic_is_sent_as_asked_and_refused_as_apple_does() {
    let world = World::with(Credential::Token).await;
    let mut client = world.client().await;
    let app = "/apps/com.example.app.voip/sandbox";
    provision(&mut client, app, key(&world, None)).await;
    let alert = json!({"token": token(1), "payload": {"aps": {"alert": "Hello"}}, "push_type": "alert"});
    let answer = send(&mut client, app, &alert).await;
    assert_eq!((answer.outcomes(), &answer.response()["reason"]), (vec!["rejected"], &json!("InvalidPushType")));
    let other = json!({"token": token(1), "payload": {}, "push_type": "complication"});
    assert_eq!(send(&mut client, app, &other).await.outcomes(), ["accepted"]);
    assert_eq!(newest(&world), is("com.example.app.complication", "complication"), "and never both suffixes");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_are_null_false_zero_or_empty_decide_no_push_type() {
    let world = World::start().await;
    let mut client = world.client().await;
    let payloads = [
        (r#"{"aps": {"alert": null, "badge": null, "sound": null, "content-available": 1}}"#, "background", "5"),
        (r#"{"aps": {"alert": "x", "event": null, "content-state": null}}"#, "alert", "10"),
        (r#"{"aps": {"alert": "x"}, "mdm": null}"#, "alert", "10"),
        (r#"{"aps": {"alert": "x", "content-changed": false}}"#, "alert", "10"),
        (r#"{"aps": {"content-available": 0}, "x": 1}"#, "alert", "10"),
        (r#"{"aps": {"alert": {}, "content-available": 1}}"#, "background", "5"),
        (r#"{"aps": {"alert": "x", "event": "order_shipped"}}"#, "alert", "10"),
        (r#"{"aps": {"badge": 0, "content-available": 1}}"#, "alert", "10"),
    ];
    for (payload, push_type, priority) in payloads {
        // One for the fast path, and one for the full parser.
        for field in ["token", "tok\\u0065n"] {
            let line = format!("{{\"{field}\": \"{}\", \"payload\": {payload}}}", token(1));
            assert_eq!(send_line(&mut client, APP, &line).await, "accepted", "{line}");
            let entry = world.simulator.ledger().entries().pop().expect("an entry");
            assert_eq!(
                (entry.push_type.as_deref(), entry.priority.as_deref()),
                (Some(push_type), Some(priority)),
                "{line}"
            );
            assert_eq!((entry.topic.as_deref(), &entry.body[..]), (Some("com.example.app"), payload.as_bytes()));
        }
    }
    world.stop().await;
}
