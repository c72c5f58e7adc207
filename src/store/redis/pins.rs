//! Decisions of operators, as Redis has them: a subject, which is a lane or a node, and the decision about it. Pure.

use super::keys::{app_of, name_of};
use crate::model::NodeName;
use crate::store::members::Pin;

/// The beginning of a subject that is a node. No name of an app begins so.
const CORDONED: &str = "cordoned:";

/// The subject of a decision, and the decision.
pub(super) fn encode(pin: &Pin) -> (String, String) {
    match pin {
        Pin::Lane { app, lane, node } => (format!("{}/{lane}", name_of(app)), node.to_string()),
        Pin::Cordoned(node) => (format!("{CORDONED}{node}"), "1".to_owned()),
    }
}

/// The decisions of subjects and decisions in turn. What a later version has stored is passed over.
pub(super) fn decode(stored: &[String]) -> Vec<Pin> {
    stored.chunks_exact(2).filter_map(|pair| decode_one(&pair[0], &pair[1])).collect()
}

fn decode_one(subject: &str, decision: &str) -> Option<Pin> {
    if let Some(node) = subject.strip_prefix(CORDONED) {
        return node.parse().ok().map(Pin::Cordoned);
    }
    let (app, lane) = subject.rsplit_once('/')?;
    let node: NodeName = decision.parse().ok()?;
    Some(Pin::Lane { app: app_of(app)?, lane: lane.parse().ok()?, node })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{AppId, AppKey, Environment};

    #[test]
    fn a_decision_reads_back_and_what_is_none_is_passed_over() {
        let app = |id: &str| AppKey::new(AppId::stored(id).unwrap(), Environment::Production);
        let node: NodeName = "push-1".parse().unwrap();
        let lane = |id: &str, lane| Pin::Lane { app: app(id), lane, node: node.clone() };
        let pins = [lane("com.example.shop", 0), lane("a:b", 63), lane("7", u16::MAX), Pin::Cordoned(node.clone())];
        let mut stored: Vec<String> = pins.iter().flat_map(|pin| <[String; 2]>::from(encode(pin))).collect();
        let odd =
            ["sandbox/a", "x", "sandbox/a/65536", "x", "cordoned:", "1", "later", "?", "sandbox/a/1", "not a name"];
        stored.extend(odd.map(str::to_owned));
        assert_eq!(decode(&stored), pins);
    }
}
