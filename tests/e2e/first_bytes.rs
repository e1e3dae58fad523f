//! Programs that take the relay's port for another: nothing they send is a name or a message.

use crate::harness::{Relay, Socket, beside_bystanders, run_python};

/// The page that answers a request of HTTP.
fn expect_page(socket: &mut Socket) {
    let answer = String::from_utf8(socket.receive_all()).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no head in {answer:?}"));
    assert!(head.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{head}");
    for field in [
        "Content-Type: text/plain; charset=utf-8",
        "Connection: close",
        &format!("Content-Length: {}", body.len()),
    ] {
        assert!(head.lines().any(|line| line == field), "no {field:?} in {head}");
    }
    assert!(body.contains("relay"), "{body}");
}

#[test]
fn a_web_page_cannot_send_a_message() {
    let relay = Relay::start();
    let mut device = relay.client("device_b");
    beside_bystanders(&relay, || {
        let get =
            "GET /?|device_b|5|hello HTTP/1.1\r\nHost: relay\r\nUser-Agent: a browser\r\n\r\n".to_owned();
        let body = "x|device_b|5|hello".repeat(10_000);
        let post = format!("POST / HTTP/1.1\r\nHost: relay\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        for request in [&get, &post] {
            let mut page = relay.connect();
            page.send(request);
            expect_page(&mut page);
            // In pieces: the method, the space behind it, and what would be a message.
            let mut page = relay.connect();
            for piece in [&request[..3], &request[3..5], &request[5..]] {
                page.send(piece);
            }
            expect_page(&mut page);
        }
        let mut page = relay.connect();
        for byte in get.as_bytes() {
            // The relay may have answered already and be waiting for the end.
            page.send([*byte]);
        }
        expect_page(&mut page);
    });
    let mut sender = relay.client("sender");
    sender.send_to("device_b", "the first");
    device.expect("the first");
    relay.logged(&["WARN", "refused", "it speaks HTTP"]);
}

#[test]
fn every_method_of_http_is_answered_with_the_page() {
    let relay = Relay::start();
    let methods = "GET HEAD POST PUT DELETE CONNECT OPTIONS TRACE PATCH PRI QUERY PROPFIND PROPPATCH MKCOL COPY MOVE LOCK UNLOCK SEARCH";
    for method in methods.split(' ') {
        let mut page = relay.connect();
        page.send(format!("{method} |"));
        expect_page(&mut page);
    }
}

#[test]
fn a_program_of_the_standard_library_reads_the_page() {
    let relay = Relay::start();
    let mut device = relay.client("device_b");
    run_python("tests/e2e/python/http_request.py", [relay.port()]);
    device.send_to("device_b", "the first");
    device.expect("the first");
}

#[test]
fn tls_is_answered_with_an_alert_and_never_a_name() {
    let relay = Relay::start();
    let mut device = relay.client("device_b");
    // The beginning of a hello of TLS; what is behind could be any bytes.
    let hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03|device_b|5|hello";
    beside_bystanders(&relay, || {
        let mut whole = relay.connect();
        whole.send(hello);
        whole.expect(b"\x15\x03\x03\x00\x02\x02\x28");
        whole.expect_closed();
        let mut pieces = relay.connect();
        pieces.send(&hello[..1]);
        pieces.send(&hello[1..]);
        pieces.expect(b"\x15\x03\x03\x00\x02\x02\x28");
        pieces.expect_closed();
    });
    device.send_to("device_b", "the first");
    device.expect("the first");
    relay.logged(&["WARN", "refused", "it speaks TLS"]);
}

#[test]
fn names_that_begin_like_another_protocol_are_names() {
    let relay = Relay::start();
    for name in [&b"GETTER"[..], b"GET", b"get x", b"GET_x", b"POSTER x", b"\x16", b"\x16\x02\x03", b"x GET "]
    {
        let mut client = relay.connect();
        // One byte at a time: the relay waits where a beginning may still become a method.
        for byte in name {
            client.send([*byte]);
        }
        client.send("|");
        client.sync(name);
    }
}
