use super::*;

fn read(text: &str) -> io::Result<Response> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(read_response(&mut text.as_bytes()))
}

#[test]
fn endpoints() {
    for (text, shown) in [
        ("http://127.0.0.1:9696", "http://127.0.0.1:9696"),
        ("http://controller", "http://controller:80"),
        ("http://[::1]:9696/", "http://[::1]:9696"),
        ("http://[::1]", "http://[::1]:80"),
        ("http://controller:80/networking/", "http://controller:80/networking"),
    ] {
        assert_eq!(text.parse::<Endpoint>().unwrap().to_string(), shown, "{text}");
    }
    for text in ["", "127.0.0.1:9696", "https://controller", "http://", "http://a:b", "http://a b"]
    {
        assert!(text.parse::<Endpoint>().is_err(), "{text}");
    }
}

#[test]
fn a_body_with_its_length_in_front() {
    let response = read("HTTP/1.1 201 Created\r\ncontent-length: 2\r\n\r\n{}HTTP").unwrap();
    assert_eq!((response.status, response.keep), (201, true));
    assert_eq!(response.body, b"{}");
}

#[test]
fn a_body_in_chunks() {
    let text = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
                3;x=y\r\n{\"a\r\na\r\n\": 1234567\r\n1\r\n}\r\n0\r\nTrailer: 1\r\n\r\n";
    assert_eq!(read(text).unwrap().body, b"{\"a\": 1234567}");
}

#[test]
fn a_body_up_to_the_end_of_the_connection() {
    let response = read("HTTP/1.0 200 OK\r\n\r\n{}").unwrap();
    assert_eq!(response.body, b"{}");
    assert!(!response.keep);
}

#[test]
fn no_body() {
    let response = read("HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n").unwrap();
    assert_eq!((response.status, response.keep), (204, false));
    assert!(response.body.is_empty());
}

#[test]
fn what_is_not_http_is_refused_and_so_is_every_beginning_of_it() {
    for text in [
        "",
        "SSH-2.0-OpenSSH\r\n",
        "HTTP/2 200\r\n\r\n",
        "HTTP/1.1 ok\r\n\r\n",
        "HTTP/1.1 200 OK\r\nno field\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 99999999999999\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nab\r\n",
    ] {
        assert!(read(text).is_err(), "{text}");
    }
    let whole = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
    for end in 0..whole.len() {
        assert!(read(&whole[..end]).is_err(), "{}", &whole[..end]);
    }
}

#[test]
fn refusals_say_what_neutron_says() {
    let body = br#"{"NeutronError": {"type": "PortNotFound", "message": "gone", "detail": ""}}"#;
    assert_eq!(said(body), "gone");
    assert_eq!(said(b"  nothing here\n"), "nothing here");
}
