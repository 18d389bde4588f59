//! What oslo.messaging makes of the same texts.

use proptest::prelude::*;

use super::*;

fn url(text: &str) -> TransportUrl {
    text.parse().unwrap()
}

fn host(user: &str, password: &str, host: &str, port: u16) -> TransportHost {
    let (user, host) = (user.to_owned(), host.to_owned());
    TransportHost { host, port, user, password: password.into() }
}

#[test]
fn one_host() {
    let parsed = url("rabbit://stackrabbit:s3cret@controller:5673/");
    assert_eq!(parsed.hosts, [host("stackrabbit", "s3cret", "controller", 5673)]);
    assert_eq!(parsed.virtual_host, "/");
    assert_eq!(parsed.options, []);
}

#[test]
fn several_hosts_with_everything() {
    let parsed =
        url("rabbit://a:b@h1:1,c%40d:%2F%3a%2C@[fd00::1]:2,[::1],h4/%2Fneutron?ssl=1&x=a+b");
    let expected = [
        host("a", "b", "h1", 1),
        host("c@d", "/:,", "fd00::1", 2),
        host("guest", "guest", "::1", 5672),
        host("guest", "guest", "h4", 5672),
    ];
    assert_eq!(parsed.hosts, expected);
    assert_eq!(parsed.virtual_host, "/neutron");
    let option = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(parsed.options, [option("ssl", "1"), option("x", "a b")]);
}

#[test]
fn the_virtual_host_is_what_follows_the_first_slash() {
    assert_eq!(url("rabbit://h").virtual_host, "/");
    assert_eq!(url("rabbit://h/nova").virtual_host, "nova");
    assert_eq!(url("rabbit://h//").virtual_host, "/");
    assert_eq!(url("rabbit://h//nova").virtual_host, "/nova");
}

#[test]
fn a_user_may_have_an_at_sign() {
    assert_eq!(url("rabbit://a@b:c@h/").hosts, [host("a@b", "c", "h", 5672)]);
}

#[test]
fn what_is_wrong_is_said_without_the_password() {
    let wrong = |text: &str| TransportUrl::from_str(text).unwrap_err().to_string();
    assert_eq!(wrong("h:5672"), "a transport URL begins with rabbit://");
    assert_eq!(wrong("amqp://h"), "the transport 'amqp' is not supported, only rabbit is");
    assert_eq!(wrong("rabbit:///v"), "a transport URL needs a host after rabbit://");
    assert_eq!(wrong("rabbit://u:p@:5672/v"), "a transport URL needs a host after rabbit://");
    let port = " names no port from 1 to 65535 (IPv6 addresses need brackets)";
    for (text, place) in [
        ("rabbit://u:pw@h:0", "h:0"),
        ("rabbit://u:pw@h:x", "h:x"),
        ("rabbit://u:pw@fe80::1", "fe80::1"),
    ] {
        assert_eq!(wrong(text), format!("'{place}'{port}"));
    }
}

#[test]
fn passwords_do_not_show() {
    let parsed = url("rabbit://a:hidden@h1,b:hidden@[::1]:7/%2Fv?k=v+w");
    assert_eq!(parsed.to_string(), "rabbit://a:***@h1:5672,b:***@[::1]:7/%2Fv?k=v%20w");
    assert!(!format!("{parsed:?}").contains("hidden"));
}

proptest! {
    #[test]
    fn no_text_panics(text in ".*", rest in "[@:,/%\\[\\]?&=a0#]*") {
        let _ = TransportUrl::from_str(&text);
        let _ = TransportUrl::from_str(&format!("rabbit://{rest}"));
    }

    #[test]
    fn what_is_shown_reads_as_the_same(user in ".+", vhost in ".+", port in 1..=u16::MAX) {
        let hosts = vec![host(&user, "***", "h", port)];
        let all = TransportUrl { hosts, virtual_host: vhost, options: Vec::new() };
        prop_assert_eq!(url(&all.to_string()), all);
    }
}
