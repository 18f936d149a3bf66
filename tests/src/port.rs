//! Ports of the loopback.

use tokio::net::TcpSocket;

/// Reserves a port for a broker that starts later, perhaps several times. Nobody else gets the port while the socket
/// lives, and connections are refused until the broker listens: on Linux, sockets that allow the reuse of their
/// address, as those of tokio do, may share it while no more than one of them listens.
///
/// # Panics
/// If no port is free.
#[must_use]
pub fn reserve_port() -> (TcpSocket, u16) {
    let socket = TcpSocket::new_v4().expect("the system has sockets");
    socket.set_reuseaddr(true).expect("it is not bound yet");
    socket.bind(([127, 0, 0, 1], 0).into()).expect("a port of the loopback is free");
    let port = socket.local_addr().expect("it is bound").port();
    (socket, port)
}
