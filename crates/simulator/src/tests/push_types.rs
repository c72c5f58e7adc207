//! Which push type goes to which topic, and what more it asks for.

use super::support::*;
use crate::{Check, Options};

#[tokio::test]
async fn a_push_type_must_fit_the_single_topic_of_a_certificate() {
    let simulator = start().await;
    let pem = simulator.identity().authority.client_certificate(&subject("com.example.single.voip")).unwrap();
    let mut client = Client::with_certificate(&simulator, Some(&pem)).await.unwrap();
    for (push_type, reason) in [("alert", "InvalidPushType"), ("voip", "")] {
        let push = Push::new().without("apns-topic").with("apns-push-type", push_type);
        assert_eq!(client.push(push).await.unwrap().reason(), reason, "{push_type}");
    }
}

#[tokio::test]
async fn every_push_type_goes_to_the_topic_with_its_suffix_alone() {
    let types = [
        ("alert", ""),
        ("background", ""),
        ("mdm", ""),
        ("voip", ".voip"),
        ("complication", ".complication"),
        ("fileprovider", ".pushkit.fileprovider"),
        ("location", ".location-query"),
        ("liveactivity", ".push-type.liveactivity"),
        ("pushtotalk", ".voip-ptt"),
        ("controls", ".push-type.controls"),
        ("widgets", ".push-type.widgets"),
    ];
    let simulator = start().await;
    let mut client = Client::connect(&simulator, Auth::Token).await;
    for (push_type, own) in types {
        for (_, suffix) in types {
            let topic = format!("com.example.app{suffix}");
            let push = Push::new().with("apns-topic", &topic).with("apns-push-type", push_type);
            let expected = if suffix == own { "" } else { "InvalidPushType" };
            assert_eq!(client.push(push).await.unwrap().reason(), expected, "{push_type} on {topic}");
        }
    }
}

#[tokio::test]
async fn a_strict_simulator_compares_push_type_priority_and_credential() {
    let mut checks = Check::DEFAULT_ORDER.to_vec();
    checks.insert(7, Check::Consistency);
    let simulator = start_with(Options { checks, ..Options::default() }).await;
    let locating = subject("com.example.app.location-query");
    let locating = simulator.identity().authority.client_certificate(&locating).unwrap();
    for (auth, topic, push_type, priority, reason) in [
        (Auth::Token, "com.example.app", "alert", "10", ""),
        (Auth::Token, "com.example.app", "background", "5", ""),
        (Auth::Token, "com.example.app", "background", "10", "BadPriority"),
        (Auth::Token, "com.example.app.location-query", "location", "5", ""),
        (Auth::Certificate, "com.example.app.location-query", "location", "5", "InvalidPushType"),
    ] {
        let mut client = match auth {
            Auth::Certificate => Client::with_certificate(&simulator, Some(&locating)).await.unwrap(),
            Auth::Token => Client::connect(&simulator, auth).await,
        };
        let push =
            Push::new().with("apns-topic", topic).with("apns-push-type", push_type).with("apns-priority", priority);
        assert_eq!(client.push(push).await.unwrap().reason(), reason, "{push_type} on {topic}");
    }
}
