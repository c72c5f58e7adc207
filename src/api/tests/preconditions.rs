//! `ETag`, `If-Match` and `If-None-Match` of an app.

use super::*;

impl Client {
    async fn call_if(&self, method: Method, header: (&str, &str), body: &str) -> Answer {
        let request = HttpRequest::builder().method(method).uri(APP).header(header.0, header.1);
        self.send(request.body(Body::from(body.to_owned())).expect("a request")).await
    }

    async fn post_if(&self, header: (&str, &str)) -> Answer {
        self.call_if(Method::POST, header, &pem()).await
    }
}

fn etag(answer: &Answer) -> String {
    let tag = answer.headers[header::ETAG].to_str().expect("text").to_owned();
    assert_eq!(tag, format!("\"{}\"", answer.body["response"]["revision"].as_str().expect("a revision")));
    tag
}

#[tokio::test]
async fn an_app_is_changed_only_as_its_caller_saw_it() {
    let client = Client::new().await;
    let first = etag(&client.post(APP, &pem()).await);
    assert_eq!(etag(&client.get(APP).await), first);
    let second = etag(&client.post_if(("if-match", &first)).await);
    assert_ne!(second, first);
    let refused = client.post_if(("if-match", &first)).await;
    assert_eq!(error(&refused), (412, "changed_meanwhile"));
    assert_eq!(refused.body["args"], json!({"revision": second.trim_matches('"')}));
    for tag in ["\"no revision\"", "", "\"0\""] {
        assert_eq!(error(&client.post_if(("if-match", tag)).await), (412, "changed_meanwhile"), "{tag}");
    }
    assert_eq!(etag(&client.get(APP).await), second, "nothing was changed");
    let third = etag(&client.post_if(("if-match", &format!("{first}, {second}"))).await);
    assert_eq!(client.post_if(("if-match", "*")).await.status, 201);
    let refused = client.call_if(Method::DELETE, ("if-match", &third), "").await;
    assert_eq!(error(&refused), (412, "changed_meanwhile"));
    let now = etag(&client.get(APP).await);
    assert_eq!(client.call_if(Method::DELETE, ("if-match", &now), "").await.status, 200);
    let gone = client.call_if(Method::DELETE, ("if-match", &now), "").await;
    assert_eq!(error(&gone), (404, "unknown_app"));
    for tag in ["*", &now] {
        let refused = client.post_if(("if-match", tag)).await;
        assert_eq!((error(&refused), &refused.body["args"]), ((412, "changed_meanwhile"), &json!({"revision": null})));
    }
}

#[tokio::test]
async fn an_app_that_is_only_to_be_created_replaces_none() {
    let client = Client::new().await;
    assert_eq!(client.post_if(("if-none-match", "*")).await.status, 201);
    let refused = client.post_if(("if-none-match", "*")).await;
    assert_eq!(error(&refused), (412, "changed_meanwhile"));
    let refused = client.call_if(Method::DELETE, ("if-none-match", "*"), "").await;
    assert_eq!(error(&refused), (412, "changed_meanwhile"));
    assert_eq!(error(&client.post_if(("if-none-match", "\"1\"")).await), (400, "bad_precondition"));
    assert_eq!(client.delete(APP).await.status, 200);
}
