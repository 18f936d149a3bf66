//! One POST by HTTP/1.1, and its answer: just what an endpoint for tokens needs. Redirects are not followed.

use std::net::IpAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::super::{Connector, TcpConnector, TlsConnector};
use crate::wire::Str;

/// The parts of an endpoint's URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Endpoint {
    pub(super) is_encrypted: bool,
    host: String,
    port: u16,
    /// Path and query.
    target: String,
}

/// An answer.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) body: Vec<u8>,
}

impl Endpoint {
    /// Reads a URL.
    pub(super) fn parse(url: &str) -> Result<Self, &'static str> {
        const FORM: &str = "it is not of the form https://HOST[:PORT]/PATH";
        let (scheme, rest) = url.split_once("://").ok_or(FORM)?;
        let is_encrypted = match &*scheme.to_ascii_lowercase() {
            "https" => true,
            "http" => false,
            _ => return Err(FORM),
        };
        if rest.contains(|letter: char| letter.is_whitespace() || letter.is_control() || !letter.is_ascii()) {
            return Err("it holds a blank or a character that has to be encoded");
        }
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at(end);
        if authority.contains('@') {
            return Err("a name and a password do not belong into it");
        }
        let (host, port) =
            match authority.rsplit_once(':').filter(|(host, _)| !host.is_empty() && !authority.ends_with(']')) {
                Some((host, port)) => (host, port.parse().map_err(|_| "its port is no number")?),
                None => (authority, if is_encrypted { 443 } else { 80 }),
            };
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        if host.is_empty() {
            return Err(FORM);
        }
        let is_local = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
        if !is_encrypted && !is_local {
            return Err("without TLS everybody on the way could read the secret: use https");
        }
        let target = target.split('#').next().unwrap_or_default();
        let target = if target.starts_with('/') { target.to_owned() } else { format!("/{target}") };
        Ok(Self { is_encrypted, host: host.to_owned(), port, target })
    }

    /// Makes a request with a form as its body.
    pub(super) fn post(&self, authorization: &str, body: &str) -> String {
        let Self { host, port, target, .. } = self;
        let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
        format!(
            "POST {target} HTTP/1.1\r\nHost: {host}:{port}\r\nAuthorization: Basic {authorization}\r\n\
             Accept: application/json\r\nContent-Type: application/x-www-form-urlencoded\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        )
    }

    /// Sends a request and reads the answer. The error does not show the request.
    pub(super) async fn send(&self, tls: Option<&TlsConnector>, request: &str) -> Result<Reply, String> {
        let connector: &dyn Connector = match tls {
            Some(tls) => tls,
            None => &TcpConnector,
        };
        let stream = connector.connect(Str::from(&self.host), self.port).await;
        let mut stream = stream.map_err(|error| error.to_string())?;
        stream.write_all(request.as_bytes()).await.map_err(|error| error.to_string())?;
        stream.flush().await.map_err(|error| error.to_string())?;
        let mut received = Vec::new();
        loop {
            if let Some(reply) = read(&received, false)? {
                return Ok(reply);
            }
            if received.len() > ANSWER_LIMIT {
                return Err(format!("the answer is longer than {ANSWER_LIMIT} bytes"));
            }
            match stream.read_buf(&mut received).await {
                Ok(0) => break,
                Ok(_) => {}
                // Some servers close TLS without a word; an answer that is complete counts nevertheless.
                Err(_) if !received.is_empty() => break,
                Err(error) => return Err(error.to_string()),
            }
        }
        read(&received, true)?.ok_or_else(|| "the connection ended within the answer".to_owned())
    }
}

/// Reads an answer; `None` if more bytes have to come. `is_all`: no more will come.
fn read(received: &[u8], is_all: bool) -> Result<Option<Reply>, String> {
    let not_http = || "the answer is not one of HTTP/1.1".to_owned();
    let Some(end) = received.windows(4).position(|window| window == b"\r\n\r\n") else {
        return if received.starts_with(&b"HTTP/"[..received.len().min(5)]) { Ok(None) } else { Err(not_http()) };
    };
    let (head, body) = (&received[..end], &received[end + 4..]);
    let head = str::from_utf8(head).map_err(|_| not_http())?;
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse().ok());
    let status: u16 = status.ok_or_else(not_http)?;
    let headers: Vec<_> = lines.filter_map(|line| line.split_once(':')).collect();
    let header =
        |name: &str| headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim());
    let body = if header("transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked")) {
        unchunk(body)?
    } else if let Some(length) = header("content-length") {
        let length: usize = length.parse().map_err(|_| not_http())?;
        body.get(..length).map(<[u8]>::to_vec)
    } else {
        is_all.then(|| body.to_vec())
    };
    Ok(body.map(|body| Reply { status, body }))
}

/// Joins the chunks of a body; `None` if the last one has not come.
fn unchunk(mut body: &[u8]) -> Result<Option<Vec<u8>>, String> {
    let malformed = || "the chunks of the answer are malformed".to_owned();
    let mut joined = Vec::new();
    loop {
        let Some(end) = body.windows(2).position(|window| window == b"\r\n") else { return Ok(None) };
        let size = str::from_utf8(&body[..end]).map_err(|_| malformed())?;
        let size = size.split(';').next().unwrap_or_default().trim();
        let size = usize::from_str_radix(size, 16).ok().filter(|size| *size <= ANSWER_LIMIT).ok_or_else(malformed)?;
        if size == 0 {
            return Ok(Some(joined));
        }
        let Some(chunk) = body.get(end + 2..end + 2 + size) else { return Ok(None) };
        joined.extend_from_slice(chunk);
        body = match body.get(end + 2 + size..) {
            Some([b'\r', b'\n', rest @ ..]) => rest,
            Some([] | [b'\r']) => return Ok(None),
            _ => return Err(malformed()),
        };
    }
}

/// Encodes a text for `application/x-www-form-urlencoded`.
pub(super) fn form(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'*' | b'-' | b'.' | b'_' => encoded.push(char::from(byte)),
            b' ' => encoded.push('+'),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

/// Longest answer that is read, in bytes.
const ANSWER_LIMIT: usize = 256 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read() {
        let endpoint = Endpoint::parse("https://issuer.example/oauth2/token?v=1#top").unwrap();
        assert_eq!((endpoint.is_encrypted, &*endpoint.host, endpoint.port), (true, "issuer.example", 443));
        assert_eq!(endpoint.target, "/oauth2/token?v=1");
        let endpoint = Endpoint::parse("https://[::1]:8443").unwrap();
        assert_eq!((&*endpoint.host, endpoint.port, &*endpoint.target), ("::1", 8443, "/"));
        assert!(endpoint.post("eA==", "a=b").contains("Host: [::1]:8443\r\n"));
        assert!(Endpoint::parse("http://127.0.0.1:8080/token").is_ok());
        for (url, why) in [
            ("issuer.example/token", "form"),
            ("ftp://issuer.example", "form"),
            ("https:///token", "form"),
            ("https://issuer.example:https/", "port"),
            ("https://a:b@issuer.example/", "password"),
            ("https://issuer.example/a b", "blank"),
            ("https://issuer.example/\r\nHost: x", "blank"),
            ("http://issuer.example/token", "use https"),
        ] {
            assert!(Endpoint::parse(url).unwrap_err().contains(why), "{url}");
        }
    }

    #[test]
    fn an_answer_ends_where_it_says() {
        let whole = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX: y\r\n\r\n{}";
        for end in 0..whole.len() {
            assert!(matches!(read(&whole[..end], false), Ok(None)), "{end}");
        }
        let reply = read(whole, false).unwrap().unwrap();
        assert_eq!((reply.status, &*reply.body), (200, &b"{}"[..]));
        let chunked = b"HTTP/1.1 400 Bad\r\ntransfer-encoding: Chunked\r\n\r\n3;x=y\r\n{\"a\r\n2\r\n\":\r\n0\r\n\r\n";
        assert_eq!(read(chunked, false).unwrap().unwrap().body, b"{\"a\":");
        let until_the_end = b"HTTP/1.0 503 Busy\r\n\r\nlater";
        assert!(read(until_the_end, false).unwrap().is_none());
        assert_eq!(read(until_the_end, true).unwrap().unwrap().body, b"later");
        assert!(read(b"SSH-2.0-OpenSSH_9.6\r\n", false).is_err());
        assert!(read(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", false).is_err());
    }

    #[test]
    fn forms_are_encoded() {
        assert_eq!(form("a b&c=\u{e9}"), "a+b%26c%3D%C3%A9");
    }
}
