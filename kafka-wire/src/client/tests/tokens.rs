//! Clients whose tokens come from an issuer.

use tokio::net::TcpListener;

use super::*;
use crate::protocol::sasl_authenticate::SaslAuthenticateResponse;
use crate::protocol::sasl_handshake::SaslHandshakeResponse;

#[tokio::test]
async fn a_client_waits_longer_for_its_first_token_than_for_a_broker() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/token", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = [0; 4096];
        let _ = stream.read(&mut request).await;
        // The only bootstrap server has 2.25 s.
        tokio::time::sleep(Duration::from_secs(3)).await;
        let body = r#"{"access_token":"one","expires_in":3600}"#;
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        stream.write_all(answer.as_bytes()).await.unwrap();
    });
    let script: Script = Arc::new(|api, version, _, _| match api {
        ApiKey::ApiVersions => versions_with(&[ApiKey::SaslHandshake, ApiKey::SaslAuthenticate], version),
        ApiKey::SaslHandshake => answer(&SaslHandshakeResponse::default(), version),
        ApiKey::SaslAuthenticate => answer(&SaslAuthenticateResponse::default(), version),
        _ => metadata(&["a"], version),
    });
    let credentials = ClientCredentials::new(url, "billing", "s3cret");
    let config =
        ClientConfig { sasl: Some(Sasl::client_credentials(credentials).unwrap()), ..ClientConfig::new("a:9092") };
    let network = Network::default().with("a", Host::Broker(script));
    Client::connect_with(config, Arc::new(network)).await.unwrap();
}
