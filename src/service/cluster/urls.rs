//! Peer URLs that clients give: checked before they are proposed, since every member dials what is stored.

use crate::service::ServiceError;

/// Most peer URLs of one member.
const MAXIMUM_URLS: usize = 16;
/// Longest peer URL.
const MAXIMUM_URL_BYTES: usize = 1_024;

/// The URLs in etcd's order: by text.
///
/// # Errors
/// There is none, or one is not `http://host:port` or `https://host:port`.
pub(super) fn checked(peer_urls: &[String]) -> Result<Vec<String>, ServiceError> {
    let count = peer_urls.len();
    if count == 0 || count > MAXIMUM_URLS || !peer_urls.iter().all(|url| can_be_dialled(url)) {
        return Err(ServiceError::BadMemberUrls);
    }
    let mut sorted = peer_urls.to_vec();
    sorted.sort();
    sorted.dedup();
    Ok(sorted)
}

fn can_be_dialled(text: &str) -> bool {
    let Some((scheme, address)) = text.split_once("://") else {
        return false;
    };
    let has_port = address
        .rsplit_once(':')
        .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok());
    let is_plain = url::Url::parse(text).is_ok_and(|url| {
        url.host().is_some() && url.username().is_empty() && url.password().is_none() && url.path() == "/"
    });
    text.len() <= MAXIMUM_URL_BYTES
        && matches!(scheme, "http" | "https")
        && has_port
        && is_plain
        && !address.contains(['/', '?', '#', '@'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_urls_with_scheme_host_and_port_are_taken() {
        for url in [
            "http://a:1",
            "https://10.0.0.1:2380",
            "http://[::1]:2380",
            "http://a.b.c:65535",
        ] {
            assert_eq!(checked(&[url.to_owned()]), Ok(vec![url.to_owned()]), "{url}");
        }
        for url in [
            "",
            "a:1",
            "http://a",
            "http://:1",
            "ftp://a:1",
            "unix://a:1",
            "http://a:1/",
            "http://a:1/path",
            "http://a:66000",
            "http://a b:1",
            "http://u@a:1",
            "http://::1:1",
            "http://a:1?q",
        ] {
            assert_eq!(
                checked(&[url.to_owned()]),
                Err(ServiceError::BadMemberUrls),
                "{url}"
            );
        }
        assert_eq!(checked(&[]), Err(ServiceError::BadMemberUrls));
        let many: Vec<String> = (1..=17).map(|port| format!("http://a:{port}")).collect();
        assert_eq!(checked(&many), Err(ServiceError::BadMemberUrls));
    }

    #[test]
    fn the_order_is_that_of_the_text() {
        let urls = [
            "http://b:1".to_owned(),
            "http://a:2".to_owned(),
            "http://b:1".to_owned(),
        ];
        assert_eq!(
            checked(&urls),
            Ok(vec!["http://a:2".to_owned(), "http://b:1".to_owned()])
        );
    }
}
