//! Connects by TLS, authenticates, and prints the brokers: `PASSWORD=secret cargo run --example tls_sasl --
//! kafka.example:9093 ca.pem alice`.
#![allow(clippy::print_stdout, reason = "a program that tells what it did")]

use std::error::Error;

use kafka_wire::client::{Client, ClientConfig, Pem, Sasl, TlsConfig};

/// Connects to the SASL_SSL listener at `servers`, whose certificate an authority in the file `authorities` has signed.
pub(crate) async fn tls_sasl(
    servers: &str,
    authorities: &str,
    user: &str,
    password: &str,
) -> Result<(), Box<dyn Error>> {
    let mut config = ClientConfig::new(servers);
    config.tls = Some(TlsConfig::new(Pem::File(authorities.into())));
    config.sasl = Some(Sasl::plain(user, password)); // Or scram_sha_256, scram_sha_512, oauthbearer.
    let client = Client::connect(config).await?; // A wrong password or certificate is told in words here.
    for broker in client.cluster().brokers() {
        println!("broker {} at {}:{}", broker.id, broker.host, broker.port);
    }
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
#[allow(dead_code, reason = "the tests run the function above")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut next = |name: &str| arguments.next().ok_or_else(|| format!("{name} is missing"));
    tls_sasl(&next("HOST:PORT")?, &next("FILE")?, &next("USER")?, &std::env::var("PASSWORD")?).await
}
