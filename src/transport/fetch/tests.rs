//! Fetches from servers on loopback.

use std::collections::BTreeSet;
use std::sync::mpsc;
use std::task::Poll;

use futures::future::join_all;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;

use super::*;

/// Bytes of a request that are read.
const MAXIMUM_REQUEST_BYTES: usize = 16 * 1024;

fn errand(url: String) -> Errand {
    Errand {
        url,
        authorities: String::new(),
        body: None,
        bearer: String::new(),
    }
}

fn brought(text: &str) -> Result<Vec<u8>, String> {
    Ok(text.as_bytes().to_vec())
}

/// Takes a request, and answers it.
async fn reply(stream: &mut TcpStream, head: &str, body: &str) {
    let mut request = vec![0; MAXIMUM_REQUEST_BYTES];
    let length = stream.read(&mut request).await.unwrap();
    assert!(length > 0, "nothing was asked");
    let length = body.len();
    let answer = format!("HTTP/1.1 {head}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}");
    stream.write_all(answer.as_bytes()).await.unwrap();
}

/// A server that answers each request with its number, and begins the answer with what `head` says to that.
async fn counting(servers: &mut JoinSet<()>, head: fn(u32) -> &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    servers.spawn(async move {
        for number in 1.. {
            let (mut stream, _) = listener.accept().await.unwrap();
            reply(&mut stream, head(number), &number.to_string()).await;
        }
    });
    format!("http://{address}")
}

/// A runtime with one thread that may block, and what keeps it busy until it is dropped.
fn with_busy_thread() -> (Runtime, mpsc::Sender<()>) {
    let mut builder = Builder::new_current_thread();
    let runtime = builder.enable_all().max_blocking_threads(1).build().unwrap();
    let (release, released) = mpsc::channel();
    runtime.spawn_blocking(move || {
        // Ends when nobody can say so any more.
        let _ = released.recv();
    });
    (runtime, release)
}

/// Waits until no fetch is under way.
async fn all_places(fetcher: &HttpFetcher) {
    let all = u32::try_from(MAXIMUM_FETCHES_AT_ONCE).unwrap();
    let _all = fetcher.places.acquire_many(all).await.unwrap();
}

#[tokio::test]
async fn who_asks_for_the_same_shares_one_fetch_and_its_answer_is_at_hand_for_a_while() {
    let mut servers = JoinSet::new();
    let site = counting(&mut servers, |_| "200 OK").await;
    let (keys, other) = (errand(format!("{site}/keys")), errand(format!("{site}/other")));
    let fetcher = HttpFetcher::default();
    for answer in join_all((0..4).map(|_| fetcher.fetch(&keys))).await {
        assert_eq!(answer, brought("1"));
    }
    assert_eq!(fetcher.fetch(&keys).await, brought("1"));
    assert_eq!(fetcher.fetch(&other).await, brought("2"));
    assert_eq!(fetcher.fetch(&keys).await, brought("1"));

    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(MAXIMUM_FETCH_AGE_SECONDS)).await;
    tokio::time::resume();
    assert_eq!(fetcher.fetch(&keys).await, brought("3"));
}

#[tokio::test]
async fn a_failure_is_told_to_all_who_wait_for_it_and_to_nobody_later() {
    let mut servers = JoinSet::new();
    let site = counting(&mut servers, |number| match number {
        1 => "503 Service Unavailable",
        2 => "302 Found\r\nlocation: /elsewhere",
        _ => "200 OK",
    })
    .await;
    let keys = errand(format!("{site}/keys"));
    let fetcher = HttpFetcher::default();
    for failure in join_all((0..2).map(|_| fetcher.fetch(&keys))).await {
        let failure = failure.unwrap_err();
        assert!(failure.contains("503"), "{failure}");
    }
    // Nobody goes where a redirect sends to: the next request is the third.
    let failure = fetcher.fetch(&keys).await.unwrap_err();
    assert!(failure.contains("302"), "{failure}");
    assert_eq!(fetcher.fetch(&keys).await, brought("3"));
}

#[tokio::test]
async fn what_is_asked_with_a_body_or_credentials_is_asked_each_time() {
    let mut servers = JoinSet::new();
    let site = counting(&mut servers, |_| "200 OK").await;
    let with_body = Errand {
        body: Some("{}".to_owned()),
        ..errand(site.clone())
    };
    let with_bearer = Errand {
        bearer: "token".to_owned(),
        ..errand(site)
    };
    let fetcher = HttpFetcher::default();
    let mut answers = BTreeSet::new();
    for errand in [&with_body, &with_bearer] {
        for answer in join_all((0..2).map(|_| fetcher.fetch(errand))).await {
            answers.insert(answer.unwrap());
        }
        answers.insert(fetcher.fetch(errand).await.unwrap());
    }
    assert_eq!(answers.len(), 6, "{answers:?}");
    assert!(fetcher.asked.lock().is_empty());
}

#[tokio::test]
async fn no_more_answers_are_at_hand_than_may_be_and_the_oldest_goes_first() {
    let mut servers = JoinSet::new();
    let site = counting(&mut servers, |_| "200 OK").await;
    let fetcher = HttpFetcher::default();
    let at = |number: usize| errand(format!("{site}/{number:03}"));
    for number in 1..=MAXIMUM_KEPT_FETCHES + 1 {
        let answer = fetcher.fetch(&at(number)).await;
        assert_eq!(answer, brought(&number.to_string()));
    }
    assert_eq!(fetcher.asked.lock().len(), MAXIMUM_KEPT_FETCHES);
    let again = fetcher.fetch(&at(2)).await;
    assert_eq!(again, brought("2"), "it is the oldest that is left");
    let gone = fetcher.fetch(&at(1)).await;
    assert_eq!(gone, brought(&(MAXIMUM_KEPT_FETCHES + 2).to_string()));
}

#[tokio::test]
async fn more_fetches_than_may_be_under_way_are_refused_even_if_nobody_waits_for_those() {
    let mut servers = JoinSet::new();
    let site = counting(&mut servers, |_| "200 OK").await;
    let (known, new) = (errand(format!("{site}/known")), errand(format!("{site}/new")));
    let fetcher = HttpFetcher::default();
    assert_eq!(fetcher.fetch(&known).await, brought("1"));

    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = silent.local_addr().unwrap();
    let errands: Vec<Errand> = (0..MAXIMUM_FETCHES_AT_ONCE)
        .map(|number| errand(format!("http://{address}/{number}")))
        .collect();
    let mut waiting: Vec<_> = errands.iter().map(|errand| fetcher.fetch(errand)).collect();
    for fetch in &mut waiting {
        assert!(futures::poll!(fetch).is_pending());
    }
    let connected = silent.accept().await.unwrap();
    drop(waiting);
    let refused = fetcher.fetch(&new).await.unwrap_err();
    assert!(
        refused.starts_with("32 fetches are under way on this node"),
        "{refused}"
    );
    assert_eq!(fetcher.fetch(&known).await, brought("1"), "it takes no place");
    drop((connected, silent));
    all_places(&fetcher).await;
    assert_eq!(fetcher.fetch(&new).await, brought("2"));
}

#[tokio::test]
async fn a_fetch_goes_on_for_others_when_who_began_it_goes_away() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let keys = errand(format!("http://{}/keys", listener.local_addr().unwrap()));
    let fetcher = HttpFetcher::default();
    let (mut stream, _) = tokio::select! {
        answer = fetcher.fetch(&keys) => panic!("nobody answered: {answer:?}"),
        accepted = listener.accept() => accepted.unwrap(),
    };
    drop(listener);
    reply(&mut stream, "200 OK", "the keys").await;
    assert_eq!(fetcher.fetch(&keys).await, brought("the keys"));
}

#[test]
fn a_name_that_is_still_looked_up_has_its_place_when_the_time_is_over() {
    let (runtime, release) = with_busy_thread();
    runtime.block_on(async {
        let fetcher = HttpFetcher::default();
        let keys = errand("http://localhost:1/keys".to_owned());
        tokio::time::pause();
        let mut fetching = fetcher.fetch(&keys);
        let failure = loop {
            if let Poll::Ready(answer) = futures::poll!(&mut fetching) {
                break answer.unwrap_err();
            }
            tokio::time::advance(Duration::from_secs(1)).await;
        };
        assert!(failure.contains("did not answer within 10 s"), "{failure}");
        assert_eq!(
            fetcher.places.available_permits(),
            MAXIMUM_FETCHES_AT_ONCE - 1,
            "it goes on"
        );
        drop(release);
        all_places(&fetcher).await;
    });
}

#[test]
fn whom_the_system_trusts_is_read_once_and_not_by_the_thread_that_serves() {
    let (runtime, release) = with_busy_thread();
    runtime.block_on(async {
        let system = OnceCell::new();
        let places = Arc::new(Semaphore::new(1));
        let place = Arc::new(places.try_acquire_owned().unwrap());
        let mut first = Box::pin(wire::trusting("", &system, &place));
        assert!(
            futures::poll!(&mut first).is_pending(),
            "it waits for a thread that may block"
        );
        drop(release);
        let first = first.await.expect("this machine has a list of authorities");
        let second = wire::trusting("", &system, &place).await.unwrap();
        assert!(Arc::ptr_eq(&first, &second));
    });
}
