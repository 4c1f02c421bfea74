//! What a person sees when ombra is ready: every address that answers, and what to type next.

use std::path::Path;
use std::time::Duration;

use crate::data_dir::Endpoints;
use crate::settings::Quotas;

/// The whole banner, with a line end.
pub(crate) fn banner(endpoints: &Endpoints, data: &Path, quotas: Quotas, took: Duration) -> String {
    let Endpoints { http, mqtts, tls, .. } = endpoints;
    let title = format!("ombra {}   AWS IoT-compatible, self-hosted", env!("CARGO_PKG_VERSION"));
    let ready = format!("ready in {} ms", took.as_millis());
    let ca = data.join("ca.pem");
    // The commands must find this directory, and look into the default one by themselves.
    let which = if data == Path::new("./ombra-data") {
        String::new()
    } else {
        format!(" --data {}", quote(&data.to_string_lossy()))
    };
    let plain = endpoints.mqtt_plain.map(|address| {
        let policy = endpoints.mqtt_plain_policy.as_deref().unwrap_or_default();
        format!("plain    mqtt://{:<29} no TLS, anybody may what policy {policy} allows", host(address))
    });
    let mut lines = vec![
        format!("{title:<64} {ready}"),
        format!("api      http://{http}"),
        format!("mqtt     mqtts://{:<28} X.509 required, policies enforced", host(*mqtts)),
        format!("tls      https://{:<28} ALPN x-amzn-mqtt-ca, x-amzn-http-ca, http/1.1; wss /mqtt", host(*tls)),
        format!("data     {:<36} ca {}    quotas {quotas}", data.display(), ca.display()),
    ];
    lines.push(if endpoints.verifies {
        format!("keys     every request is verified    ombra key create{which}    ombra tail{which}")
    } else {
        format!("next     eval \"$(ombra env{which})\"    ombra demo    ombra tail{which}    ombra why{which}")
    });
    if let Some(plain) = plain {
        lines.insert(3, plain);
    }
    lines.iter().flat_map(|line| ["  ", line, "\n"]).collect()
}

/// The address as it stands in the server certificate: `localhost` reads best where it means the same.
fn host(address: std::net::SocketAddr) -> String {
    if address.ip() == std::net::Ipv4Addr::LOCALHOST {
        format!("localhost:{}", address.port())
    } else {
        address.to_string()
    }
}

/// A word as a POSIX shell takes it literally.
pub(crate) fn quote(word: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:=,@%+".contains(&byte);
    if !word.is_empty() && word.bytes().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_banner_names_what_answers() {
        let endpoints = Endpoints { tls: "[::1]:8443".parse().unwrap(), ..Endpoints::example() };
        let text = banner(&endpoints, Path::new("./ombra-data"), Quotas::Warn, Duration::from_millis(38));
        for expected in
            ["http://127.0.0.1:4583", "mqtts://localhost:8883 ", "https://[::1]:8443 ", "ready in 38 ms", "quotas warn"]
        {
            assert!(text.contains(expected), "{expected} in\n{text}");
        }
        assert!(text.contains("\"$(ombra env)\""));
        assert!(!text.contains("mqtt://") && !text.contains("verified"), "{text}");
        let network = Endpoints { verifies: true, ..Endpoints::example() };
        let said = banner(&network, Path::new("./ombra-data"), Quotas::Warn, Duration::ZERO);
        assert!(said.contains("every request is verified    ombra key create"), "{said}");
        let (mqtt_plain, mqtt_plain_policy) = (Some("127.0.0.1:1883".parse().unwrap()), Some("bench".to_owned()));
        let plain = Endpoints { mqtt_plain, mqtt_plain_policy, ..Endpoints::example() };
        let text = banner(&plain, Path::new("./ombra-data"), Quotas::Warn, Duration::ZERO);
        assert!(text.contains("mqtt://localhost:1883 ") && text.contains("policy bench"), "{text}");
        let elsewhere = banner(&endpoints, Path::new("my data"), Quotas::Off, Duration::ZERO);
        assert!(elsewhere.contains("\"$(ombra env --data 'my data')\""), "{elsewhere}");
    }

    #[test]
    fn a_shell_reads_a_quoted_word_back() {
        for (word, expected) in [("a/b-c", "a/b-c"), ("", "''"), ("a b", "'a b'"), ("it's $x", r"'it'\''s $x'")] {
            assert_eq!(quote(word), expected);
        }
    }
}
