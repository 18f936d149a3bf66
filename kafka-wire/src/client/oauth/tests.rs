//! Tokens by client credentials, from an endpoint on this machine.

use std::sync::Mutex as StdMutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

/// An endpoint that answers with the bodies of a script, the last one again and again.
struct Issuer {
    url: String,
    count: Arc<AtomicUsize>,
    last: Arc<StdMutex<String>>,
}

async fn issuer(script: &'static [(u16, &'static str)]) -> Issuer {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/token", listener.local_addr().unwrap());
    let (count, last) = (Arc::new(AtomicUsize::new(0)), Arc::new(StdMutex::new(String::new())));
    let issuer = Issuer { url, count: Arc::clone(&count), last: Arc::clone(&last) };
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = vec![0; 4096];
            let length = stream.read(&mut request).await.unwrap();
            *last.lock().unwrap() = String::from_utf8_lossy(&request[..length]).into_owned();
            let index = count.fetch_add(1, Ordering::Relaxed);
            let (status, body) = script[index.min(script.len() - 1)];
            if status == HANGS {
                held.push(stream);
                continue;
            }
            if status == IS_SLOW {
                tokio::time::sleep(RENEWAL_TIMEOUT + Duration::from_millis(500)).await;
            }
            let status = if status == IS_SLOW { 200 } else { status };
            let answer = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n{body}", body.len());
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    issuer
}

/// In the place of a status: the request is never answered.
const HANGS: u16 = 0;
/// In the place of a status: the request is answered a little later than a caller with a valid token waits.
const IS_SLOW: u16 = 1;

/// As if 80 % of the time of the token were over.
async fn let_it_age(source: &Source) {
    source.state.lock().await.kept.as_mut().unwrap().renew_at = Instant::now();
}

fn source(issuer: &Issuer) -> Arc<Source> {
    let mut credentials = ClientCredentials::new(&issuer.url, "billing", "s3cret");
    credentials.scope = Some("read write".to_owned());
    credentials.retry_backoff = Duration::from_millis(1);
    let endpoint = Endpoint::parse(&issuer.url).unwrap();
    Arc::new(Source { credentials, endpoint, tls: None, state: Mutex::default() })
}

#[tokio::test]
async fn a_token_is_asked_for_once_and_kept() {
    let issuer = issuer(&[(200, r#"{"access_token":"one","expires_in":3600}"#)]).await;
    let source = source(&issuer);
    let (first, second) = tokio::join!(source.token(), source.token());
    assert_eq!((first, second), (Ok(OAuthToken::new("one")), Ok(OAuthToken::new("one"))));
    assert_eq!(issuer.count.load(Ordering::Relaxed), 1);
    let request = issuer.last.lock().unwrap().clone();
    // billing:s3cret
    assert!(request.contains("Authorization: Basic YmlsbGluZzpzM2NyZXQ=\r\n"), "{request}");
    assert!(request.ends_with("\r\n\r\ngrant_type=client_credentials&scope=read+write"), "{request}");
}

#[tokio::test]
async fn a_token_is_renewed_before_its_end_and_used_while_that_fails() {
    let script = &[
        (200, r#"{"access_token":"one","expires_in":"1000"}"#),
        (503, ""),
        (200, r#"{"access_token":"two","expires_in":9}"#),
    ];
    let issuer = issuer(script).await;
    let source = source(&issuer);
    assert_eq!(source.token().await, Ok(OAuthToken::new("one")));
    let_it_age(&source).await;
    assert_eq!(source.token().await, Ok(OAuthToken::new("one")), "the issuer is down, and the token is valid");
    assert_eq!(source.token().await, Ok(OAuthToken::new("one")));
    assert_eq!(issuer.count.load(Ordering::Relaxed), 2, "it is not asked again at once");
    let_it_age(&source).await;
    assert_eq!(source.token().await, Ok(OAuthToken::new("two")));
    let kept = source.state.lock().await.kept.clone().unwrap();
    let (renewal, end) = (kept.renew_at - Instant::now(), kept.end - Instant::now());
    assert!(renewal < end && end <= Duration::from_secs(9), "{renewal:?} {end:?}");
}

#[tokio::test]
async fn an_issuer_that_hangs_keeps_nobody_from_a_valid_token() {
    let issuer = issuer(&[(200, r#"{"access_token":"one","expires_in":3600}"#), (HANGS, "")]).await;
    let source = source(&issuer);
    assert_eq!(source.token().await, Ok(OAuthToken::new("one")));
    let_it_age(&source).await;
    // Connections that ask at once; each of them has `connect_timeout`, which is 4 s, for all that it does.
    let both = async { tokio::join!(source.token(), source.token()) };
    let both = tokio::time::timeout(Duration::from_secs(4), both).await;
    assert_eq!(both, Ok((Ok(OAuthToken::new("one")), Ok(OAuthToken::new("one")))));
    assert_eq!(issuer.count.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn the_token_of_an_issuer_that_is_slow_is_found_by_the_next_caller() {
    let script = &[
        (200, r#"{"access_token":"one","expires_in":3600}"#),
        (IS_SLOW, r#"{"access_token":"two","expires_in":3600}"#),
        (503, ""),
    ];
    let issuer = issuer(script).await;
    let source = source(&issuer);
    assert_eq!(source.token().await, Ok(OAuthToken::new("one")));
    let_it_age(&source).await;
    assert_eq!(source.token().await, Ok(OAuthToken::new("one")));
    let_it_age(&source).await;
    assert_eq!(source.token().await, Ok(OAuthToken::new("two")));
    assert_eq!(issuer.count.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn a_first_token_that_comes_late_is_found_by_the_next_caller() {
    let issuer = issuer(&[(IS_SLOW, r#"{"access_token":"one","expires_in":3600}"#)]).await;
    let source = source(&issuer);
    // A connection that has to be open by then.
    let first = tokio::time::timeout(Duration::from_millis(100), source.token()).await;
    assert!(first.is_err(), "{first:?}");
    assert_eq!(source.token().await, Ok(OAuthToken::new("one")));
    assert_eq!(issuer.count.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_token_that_came_late_is_not_handed_out_behind_its_end() {
    let script = &[
        (200, r#"{"access_token":"one","expires_in":3600}"#),
        (IS_SLOW, r#"{"access_token":"two","expires_in":1}"#),
        (200, r#"{"access_token":"three","expires_in":3600}"#),
        (200, r#"{"access_token":"four","expires_in":3600}"#),
    ];
    let issuer = issuer(script).await;
    let source = source(&issuer);
    assert_eq!(source.token().await, Ok(OAuthToken::new("one")));
    let_it_age(&source).await;
    assert_eq!(source.token().await, Ok(OAuthToken::new("one")), "the second one is late");
    tokio::time::sleep(Duration::from_secs(1)).await;
    source.state.lock().await.kept.as_mut().unwrap().end = Instant::now();
    assert_eq!(source.token().await, Ok(OAuthToken::new("three")));
    let_it_age(&source).await;
    assert_eq!(source.token().await, Ok(OAuthToken::new("four")));
}

#[tokio::test]
async fn an_issuer_that_is_busy_is_asked_again_and_one_that_refuses_is_not() {
    let busy = issuer(&[(503, ""), (429, ""), (200, r#"{"access_token":"one","expires_in":60}"#)]).await;
    assert_eq!(source(&busy).token().await, Ok(OAuthToken::new("one")));
    assert_eq!(busy.count.load(Ordering::Relaxed), 3);

    let refuses = issuer(&[(401, r#"{"error":"invalid_client","error_description":"no such client"}"#)]).await;
    let reason = source(&refuses).token().await.unwrap_err();
    assert_eq!(refuses.count.load(Ordering::Relaxed), 1);
    for part in ["401", "invalid_client: no such client", "sasl.oauthbearer.client.credentials.client.secret"] {
        assert!(reason.contains(part), "{reason}");
    }
    assert!(!reason.contains("s3cret"), "{reason}");
}

#[tokio::test]
async fn answers_without_a_token_are_told() {
    for (body, why) in [
        (&[(200, "not json")][..], "no access_token"),
        (&[(200, r#"{"access_token":"opaque"}"#)], "when the token expires"),
    ] {
        let reason = source(&issuer(body).await).token().await.unwrap_err();
        assert!(reason.contains(why), "{reason}");
    }
}

#[test]
fn a_jwt_tells_its_own_end() {
    // {"sub":"alice","exp":4000000000}
    let token = format!("e30.{}.", URL_SAFE_NO_PAD.encode(r#"{"sub":"alice","exp":4000000000}"#));
    assert!(lifetime_of(&token).unwrap() > Duration::from_secs(3_600));
    assert_eq!(lifetime_of(&format!("e30.{}.", URL_SAFE_NO_PAD.encode(r#"{"exp":1}"#))), None);
    assert_eq!(lifetime_of("opaque"), None);
}

#[test]
fn credentials_show_no_secret() {
    let credentials = ClientCredentials::new("https://issuer.example/token", "billing", "s3cret");
    let sasl = Sasl::client_credentials(credentials.clone()).unwrap();
    assert!(!format!("{credentials:?} {sasl:?}").contains("s3cret"));
    let wrong = ClientCredentials { token_endpoint_url: "http://issuer.example/".to_owned(), ..credentials };
    let error = Sasl::client_credentials(wrong).unwrap_err().to_string();
    assert!(error.contains("sasl.oauthbearer.token.endpoint.url") && error.contains("https"), "{error}");
}
