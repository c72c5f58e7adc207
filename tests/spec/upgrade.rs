//! This release starts with the files of an older one (`tests/fixtures`).

use crate::support::client::Client;
use crate::support::process::Process;
use crate::support::release::Release;
use crate::support::world::{to, token};
use serde_json::{Value, json};

const CHANGED: &str = "/apps/changed/sandbox";
const REMOVED: &str = "/apps/removed/sandbox";
const SHOP: &str = "/apps/com.example.shop/sandbox";
/// Made by an entry whose file has an expired identity first, and a good one.
const RENEWED: &str = "/apps/renewed/production";

/// Fields of an app that tell of a moment, or in words that may change.
const PASSING: [&str; 6] = ["days_left", "last_error", "last_error_at", "last_success_at", "connections", "streams"];

/// Lists with what an older release answered for them: every page and its cursor.
fn lists<'a>(release: &'a Release, name: &str) -> Vec<(String, &'a [Value])> {
    let lists = release.answers["pyapns.toml"]["lists"].as_array().expect("lists").iter();
    let of_app = |list: &'a Value| {
        let path = list["path"].as_str().expect("a path");
        (format!("{path}/{name}"), list[name].as_array().expect("pages").as_slice())
    };
    lists.map(of_app).collect()
}

fn path(app: &Value) -> String {
    let word = |name: &str| app[name].as_str().expect("a word");
    format!("/apps/{}/{}", word("app_id"), word("environment"))
}

/// `new` says of everything that `old` spoke of the same; it may speak of more.
fn assert_says(new: &Value, old: &Value, what: &str) {
    match (new, old) {
        (Value::Object(new), Value::Object(old)) => {
            for (name, old) in old.iter().filter(|(name, _)| !PASSING.contains(&name.as_str())) {
                assert_says(new.get(name).unwrap_or(&Value::Null), old, &format!("{what}.{name}"));
            }
        }
        (Value::Array(new), Value::Array(old)) => {
            assert_eq!(new.len(), old.len(), "{what}");
            new.iter().zip(old).for_each(|(new, old)| assert_says(new, old, what));
        }
        _ => assert_eq!(new, old, "{what}"),
    }
}

async fn app(process: &Process, path: &str) -> Value {
    process.client().await.get(path).await.response().clone()
}

async fn accepted(client: &mut Client, app: &str) {
    let answer = client.post(&format!("{app}/notifications"), to(&token(1)).to_string()).await;
    assert_eq!(answer.outcomes(), ["accepted"], "{app}: {answer:?}");
}

#[tokio::test]
async fn apps_feedback_holds_and_log_of_an_older_release_are_there_and_its_apps_send() {
    for release in Release::all().await {
        let process = release.start().await;
        let mut client = process.client().await;
        let apps = client.get("/apps").await.response().as_array().expect("apps").clone();
        let old = release.answers["pyapns.toml"]["apps"].as_array().expect("apps");
        assert_eq!(apps.iter().map(path).collect::<Vec<_>>(), old.iter().map(path).collect::<Vec<_>>());
        for (new, old) in apps.iter().zip(old).filter(|(new, _)| path(new) != RENEWED) {
            assert_says(new, old, &path(old));
            accepted(&mut client, &path(old)).await;
        }
        for name in ["feedback", "disconnections"] {
            for (path, pages) in lists(&release, name) {
                let old = pages.iter().flat_map(|page| page["entries"].as_array().expect("entries")).cloned().collect();
                assert_says(client.get(&path).await.response(), &Value::Array(old), &path);
            }
        }
        for list in release.answers["pyapns.toml"]["lists"].as_array().expect("lists") {
            let path = format!("{}/feedback/held", list["path"].as_str().expect("a path"));
            assert_says(client.get(&path).await.response(), &list["held"], &path);
        }
        process.stop().await;
        release.simulator.stop().await;
    }
}

#[tokio::test]
async fn cursors_that_an_older_release_gave_out_still_read_on_and_acknowledge() {
    for release in Release::all().await {
        let process = release.start().await;
        let mut client = process.client().await;
        let mut acknowledged = 0;
        for name in ["feedback", "disconnections"] {
            for (path, pages) in lists(&release, name) {
                for pair in pages.windows(2) {
                    let cursor = pair[0]["cursor"].as_str().expect("a cursor");
                    let next = client.get(&format!("{path}?limit=3&cursor={cursor}")).await;
                    assert_says(next.response(), &pair[1]["entries"], &format!("{path} after {cursor}"));
                }
                let through = pages[0]["cursor"].as_str().expect("a cursor");
                let answer = client.call("DELETE", &format!("{path}?through={through}"), "").await;
                let first = pages[0]["entries"].as_array().expect("entries").len();
                assert_eq!(answer.response()["removed"], first, "{path}: {answer:?}");
                acknowledged += first;
                let left = client.get(&path).await.response().as_array().expect("entries").len();
                let all: usize = pages.iter().map(|page| page["entries"].as_array().expect("entries").len()).sum();
                assert_eq!(left, all - first, "{path}");
            }
        }
        assert!(acknowledged > 6, "lists of several apps had entries");
        process.stop().await;
        release.simulator.stop().await;
    }
}

#[tokio::test]
async fn what_an_older_release_held_back_can_be_released() {
    for release in Release::all().await {
        let process = release.start().await;
        let mut client = process.client().await;
        let mut released = 0;
        for list in release.answers["pyapns.toml"]["lists"].as_array().expect("lists") {
            let (path, held) = (list["path"].as_str().expect("a path"), &list["held"]["count"]);
            let waiting = client.get(&format!("{path}/feedback")).await.response().as_array().expect("a list").len();
            let body = json!({"action": "release"}).to_string();
            let answer = client.post(&format!("{path}/feedback/held"), body).await;
            assert_eq!(&answer.response()["count"], held, "{answer:?}");
            let held = held.as_u64().expect("a number") as usize;
            let list = client.get(&format!("{path}/feedback")).await;
            assert_eq!(list.response().as_array().expect("a list").len(), waiting + held, "{path}");
            assert_eq!(app(&process, path).await["feedback_held"], Value::Null);
            released += held;
        }
        assert!(released >= 50, "the guard had acted");
        process.stop().await;
        release.simulator.stop().await;
    }
}

#[tokio::test]
async fn after_an_upgrade_what_a_caller_changed_or_removed_stays_until_its_entry_is_another() {
    for release in Release::all().await {
        let before = app_of(&release, CHANGED);
        for _ in 0..2 {
            let process = release.start().await;
            assert_says(&app(&process, CHANGED).await, &before, CHANGED);
            assert_eq!(app(&process, REMOVED).await, Value::Null);
            process.stop().await;
        }
        let file = release.path("pyapns.toml");
        let text = std::fs::read_to_string(&file).expect("the configuration");
        let others = ["changed.pem\"", "removed.pem\""].map(|name| (name, format!("{name}\ntimeout = 33")));
        let text = others.iter().fold(text, |text, (name, other)| text.replace(name, other));
        std::fs::write(&file, text).expect("the configuration");
        let process = release.start().await;
        for path in [CHANGED, REMOVED] {
            let app = app(&process, path).await;
            assert_eq!((&app["timeout"], &app["credential"]["kind"]), (&json!(33), &json!("certificate")), "{app}");
        }
        process.stop().await;
        release.simulator.stop().await;
    }
}

fn app_of(release: &Release, wanted: &str) -> Value {
    let apps = release.answers["pyapns.toml"]["apps"].as_array().expect("apps");
    apps.iter().find(|app| path(app) == wanted).expect("it is listed").clone()
}

/// The fingerprints in the store, as they would be if the older release had understood every credential in another way.
fn make_every_fingerprint_foreign(release: &Release) {
    let store = release.store();
    for sql in
        ["UPDATE entries SET fingerprint = 'another'", "UPDATE apps SET entry = 'another' WHERE entry IS NOT NULL"]
    {
        assert!(store.execute(sql, []).expect("an update") > 2);
    }
}

#[tokio::test]
async fn a_fingerprint_that_changed_only_because_of_us_is_filed_anew_and_a_callers_app_is_left_alone() {
    for release in Release::all().await {
        make_every_fingerprint_foreign(&release);
        let process = release.start().await;
        assert_says(&app(&process, CHANGED).await, &app_of(&release, CHANGED), CHANGED);
        assert_eq!(app(&process, REMOVED).await, Value::Null, "what was removed does not come back");
        assert_says(&app(&process, SHOP).await, &app_of(&release, SHOP), SHOP);
        let doubtful = "the app stays as it was changed over the API: its entry may have changed";
        assert_eq!(process.lines_with(doubtful), 3, "changed, removed, renewed-changed");
        let provisioned = process.lines_with("provisioned from the configuration");
        assert_eq!(provisioned, 4, "the apps that are still their entries' are made as this release understands them");
        process.stop().await;

        let process = release.start().await;
        assert_eq!(process.lines_with("provisioned from the configuration") + process.lines_with(doubtful), 0);
        assert_says(&app(&process, CHANGED).await, &app_of(&release, CHANGED), CHANGED);
        process.stop().await;
        release.simulator.stop().await;
    }
}

#[tokio::test]
async fn what_this_release_would_refuse_of_an_entry_does_not_stop_what_an_older_one_made_of_it() {
    for release in Release::all().await {
        make_every_fingerprint_foreign(&release);
        std::fs::write(release.path("credentials/shop.pem"), "no credential at all").expect("a file");
        let process = release.start().await;
        assert_eq!(process.lines_with("an older release applied this entry, and its app stays as it is"), 1);
        assert_says(&app(&process, SHOP).await, &app_of(&release, SHOP), SHOP);
        accepted(&mut process.client().await, SHOP).await;
        process.stop().await;

        let checked = release.command("check-config", "pyapns.toml").output().await.expect("the program starts");
        let said = String::from_utf8(checked.stdout).expect("text") + &String::from_utf8_lossy(&checked.stderr);
        assert!(!checked.status.success() && said.contains("neither PEM nor PKCS#12"), "{said}");

        let new_data = release.command("serve", "pyapns.toml").args(["--data-dir", "new"]).output().await;
        assert_eq!(
            new_data.expect("the program starts").status.code(),
            Some(2),
            "where nothing was made it is refused"
        );
        release.simulator.stop().await;
    }
}

#[tokio::test]
async fn configuration_files_of_an_older_release_start_a_new_node_and_make_their_apps() {
    for release in Release::all().await {
        let mut command = release.command("serve", "pyapns.toml");
        command.args(["--data-dir", "new"]);
        let process = Process::run(command).await;
        let mut client = process.client().await;
        let apps = client.get("/apps").await.response().as_array().expect("apps").iter().map(path).collect::<Vec<_>>();
        assert_eq!(apps.len(), 7, "{apps:?}");
        for app in apps.iter().filter(|app| !app.starts_with("/apps/renewed")) {
            accepted(&mut client, app).await;
        }
        process.stop().await;
        let checked = release.command("check-config", "every_setting.toml").output().await.expect("the program starts");
        assert!(checked.status.success(), "{checked:?}");
        release.simulator.stop().await;
    }
}

#[tokio::test]
async fn the_old_json_file_starts_on_the_data_of_an_older_release_and_on_none() {
    for release in Release::all().await {
        for data in ["data-json", "new"] {
            let mut command = release.command("serve", "pyapns.json");
            command.args(["--data-dir", data]);
            let process = Process::run(command).await;
            let mut client = process.client().await;
            let apps = client.get("/apps").await.response().clone();
            assert_says(&apps, &release.answers["pyapns.json"]["apps"], data);
            let old = "/apps/com.example.old/sandbox";
            accepted(&mut client, old).await;
            if data == "data-json" {
                let feedback = format!("{old}/feedback");
                assert_eq!(client.get(&feedback).await.response().as_array().map(Vec::len), Some(1), "kept");
                assert_eq!(client.get(&feedback).await.response(), &json!([]), "and reading clears, as it did");
            }
            process.stop().await;
        }
        release.simulator.stop().await;
    }
}

#[tokio::test]
async fn apps_of_an_older_release_have_revisions_that_last_and_are_changed_under_them() {
    for release in Release::all().await {
        let process = release.start().await;
        let revisions = async |process: &Process| {
            let apps = process.client().await.get("/apps").await;
            let revision = |app: &Value| app["revision"].as_str().expect("a revision").to_owned();
            apps.response().as_array().expect("apps").iter().map(revision).collect::<Vec<_>>()
        };
        let before = revisions(&process).await;
        let all: std::collections::BTreeSet<_> = before.iter().collect();
        assert_eq!((all.len(), all.contains(&"0".to_owned())), (before.len(), false), "{before:?}");
        process.stop().await;

        let process = release.start().await;
        assert_eq!(revisions(&process).await, before, "a restart changes nothing");
        let mut client = process.client().await;
        let tag = client.get(SHOP).await.response()["revision"].as_str().expect("a revision").to_owned();
        let body = std::fs::read(release.path("credentials/shop.pem")).expect("a certificate");
        assert_eq!(client.post_with(SHOP, ("if-match", &tag), body.clone()).await.status, 201);
        let refused = client.post_with(SHOP, ("if-match", &tag), body).await;
        assert_eq!((refused.status, refused.reason()), (412, "changed_meanwhile"));
        process.stop().await;
        release.simulator.stop().await;
    }
}
