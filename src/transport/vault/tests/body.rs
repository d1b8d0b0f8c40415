//! Bodies: which take one of the few places for large ones, when, and for how long.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::body::Body as Stream;
use axum::extract::Request;
use bytes::Bytes;
use futures::{FutureExt, StreamExt, poll, stream};
use http::{HeaderMap, HeaderValue, header};
use serde_json::json;
use tower::ServiceExt;

use super::super::body;
use super::super::error::Refusal;
use super::super::large::{LargeBodies, LargePlace};
use super::super::pages;
use super::super::request::{Asked, Method};
use super::refused;
use crate::base::limits::{LARGE_SECRET_BODY_BYTES, MAXIMUM_JSON_VALUES, MAXIMUM_LARGE_SECRET_BODIES};
use crate::service::secrets::parameters::Body;
use crate::service::testing::Node;
use crate::transport::Origin;

const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 7));
const OTHER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 8));

/// Pieces of a body, and how many of them were taken.
struct Sent {
    pieces: Vec<Bytes>,
    taken: Arc<AtomicUsize>,
}

impl Sent {
    fn new(pieces: impl IntoIterator<Item = Vec<u8>>) -> Self {
        Self {
            pieces: pieces.into_iter().map(Bytes::from).collect(),
            taken: Arc::default(),
        }
    }

    /// A body that is one byte larger than one may be without a place, and says nothing.
    fn large() -> Self {
        let spaces = vec![b' '; LARGE_SECRET_BODY_BYTES - 1];
        Self::new([spaces, b"{}".to_vec(), Vec::new()])
    }

    fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    fn stream(&self) -> impl futures::Stream<Item = Result<Bytes, Infallible>> + Send + use<> {
        let taken = Arc::clone(&self.taken);
        stream::iter(self.pieces.clone()).map(move |piece| {
            taken.fetch_add(1, Ordering::Relaxed);
            Ok::<_, Infallible>(piece)
        })
    }

    async fn read(
        &self,
        headers: &HeaderMap,
        places: &LargeBodies,
    ) -> Result<(Body, Option<LargePlace>), Refusal> {
        let asked = Asked {
            method: Method::Write,
            path: "secret/a".to_owned(),
            query: String::new(),
        };
        let stream = Stream::from_stream(self.stream());
        body::read(headers, stream, places, Some(CLIENT), &asked).await
    }
}

#[tokio::test]
async fn a_body_whose_length_is_not_told_needs_no_place_until_it_is_large() {
    let places = LargeBodies::new(1, 1);
    let _held = places.take(Some(OTHER)).await;
    let headers = HeaderMap::new();
    let small = Sent::new([b"{\"a\":".to_vec(), b" 1}".to_vec()]);
    let (body, place) = small.read(&headers, &places).now_or_never().unwrap().unwrap();
    assert_eq!(body.get("a"), Some(&json!(1)));
    assert!(place.is_none());
    let most = Sent::new([vec![b' '; LARGE_SECRET_BODY_BYTES - 2], b"{}".to_vec()]);
    let (_, place) = most.read(&headers, &places).await.unwrap();
    assert!(place.is_none());
}

#[tokio::test]
async fn a_large_body_waits_for_a_place_before_more_is_read_and_keeps_it() {
    let mut told = HeaderMap::new();
    told.insert(header::CONTENT_LENGTH, (LARGE_SECRET_BODY_BYTES + 1).into());
    for (headers, taken) in [(told, 0), (HeaderMap::new(), 2)] {
        let places = LargeBodies::new(1, 1);
        let held = places.take(Some(OTHER)).await;
        let large = Sent::large();
        let mut reading = Box::pin(large.read(&headers, &places));
        assert!(poll!(&mut reading).is_pending());
        assert_eq!(large.taken(), taken, "{headers:?}");
        drop(held);
        let (_, place) = reading.await.unwrap();
        assert_eq!(large.taken(), 3);
        assert!(place.is_some());
        assert!(places.take(Some(OTHER)).now_or_never().is_none());
        drop(place);
        assert!(places.take(Some(OTHER)).now_or_never().is_some());
    }
}

#[tokio::test]
async fn large_bodies_that_do_not_end_keep_no_other_client_waiting() {
    let node = Node::start().await;
    let router = pages(&node.services);
    let ask = |client: IpAddr, stream: Stream| {
        let origin = Origin {
            address: Some(SocketAddr::new(client, 9)),
            certificates: Vec::new().into(),
        };
        let request = Request::builder().method("PUT").uri("/v1/secret/a");
        let request = request.extension(origin).body(stream).unwrap();
        Box::pin(router.clone().oneshot(request))
    };
    let mut endless = Vec::new();
    for _ in 0..MAXIMUM_LARGE_SECRET_BODIES {
        let without_end = Sent::large().stream().chain(stream::pending());
        let mut asked = ask(CLIENT, Stream::from_stream(without_end));
        assert!(poll!(&mut asked).is_pending());
        endless.push(asked);
    }
    let own = Sent::large();
    let mut waiting = ask(CLIENT, Stream::from_stream(own.stream()));
    assert!(poll!(&mut waiting).is_pending());
    assert_eq!(own.taken(), 2, "it waits for a place of its client");
    let other = Sent::large();
    let mut answered = ask(OTHER, Stream::from_stream(other.stream()));
    // Whether the answer is there yet does not matter.
    let _ = poll!(&mut answered);
    assert_eq!(other.taken(), 3);
}

#[tokio::test]
async fn a_form_has_no_more_parameters_than_a_body_has_values() {
    let places = LargeBodies::new(1, 1);
    let mut headers = HeaderMap::new();
    let form = HeaderValue::from_static("application/x-www-form-urlencoded");
    headers.insert(header::CONTENT_TYPE, form);
    // Those without a name are no fields, and yet are held.
    for parameter in ["a=&", "=&"] {
        let sent = Sent::new([parameter.repeat(MAXIMUM_JSON_VALUES + 1).into_bytes()]);
        let refusal = sent.read(&headers, &places).await.err().unwrap();
        let (status, said) = refused(refusal).await;
        assert_eq!(status, 400);
        assert_eq!(said["errors"], json!(["there are more than 100000 parameters"]));
    }
}
