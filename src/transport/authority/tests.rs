use bytes::Bytes;
use futures::stream;
use httlib_huffman::encode;
use http::uri::Authority;
use proptest::collection::vec;
use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_util::io::StreamReader;

use super::*;

const URL: &str = "http://127.0.0.1:2379";
const MENDED_URL: &str = "http--@127.0.0.1:2379";
const SETTINGS: u8 = 4;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const PADDED: u8 = 8;
const PRIORITY: u8 = 32;
/// `POST`, `http`, and the path as the client's first entry of the table.
const BEFORE_AUTHORITY: &[u8] = b"\x83\x86\x44\x05/path";
/// A literal with indexing whose name is `:authority`; without indexing; never to be indexed.
const FORMS: [u8; 3] = [0x41, 0x01, 0x11];

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// A header block with this authority, in this form.
fn block(form: u8, is_huffman: bool, authority: &[u8]) -> Vec<u8> {
    let mut block = BEFORE_AUTHORITY.to_vec();
    block.push(form);
    let text = match is_huffman {
        true => {
            let mut coded = Vec::new();
            encode(authority, &mut coded).expect("any bytes can be coded");
            coded
        }
        false => authority.to_vec(),
    };
    let flag = if is_huffman { 0x80 } else { 0 };
    match text.len() {
        length @ ..127 => block.push(flag | length as u8),
        length => block.extend([flag | 0x7f, (length - 127) as u8]),
    }
    block.extend(text);
    // `te: trailers`, both written out.
    block.extend(b"\x40\x02te\x08trailers");
    block
}

/// What is read of chunks that arrive one by one, into a buffer of so many bytes.
fn read_of(chunks: Vec<Vec<u8>>, buffer_bytes: usize) -> Vec<u8> {
    let chunks = chunks.into_iter().map(|chunk| io::Result::Ok(Bytes::from(chunk)));
    let mut stream = LenientAuthority::new(StreamReader::new(stream::iter(chunks)));
    let mut read = Vec::new();
    futures::executor::block_on(async {
        let mut buffer = vec![0; buffer_bytes];
        loop {
            match stream.read(&mut buffer).await.expect("reading does not fail") {
                0 => return read,
                length => read.extend(&buffer[..length]),
            }
        }
    })
}

fn connection(frames: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = PREFACE.to_vec();
    frames.iter().for_each(|frame| bytes.extend(frame));
    bytes
}

#[test]
fn an_authority_is_mended_and_keeps_its_length() {
    for (sent, mended) in [
        (URL, MENDED_URL),
        ("https://[::1]:2379", "https--@[::1]:2379"),
        ("http://stead.example:2379/", "http---stead.example-2379-"),
        ("/run/stead.sock", "-run-stead.sock"),
        ("unix:///run/stead.sock", "unix----run-stead.sock"),
    ] {
        for form in FORMS {
            for is_huffman in [true, false] {
                let sent = frame(HEADERS, END_HEADERS, 1, &block(form, is_huffman, sent.as_bytes()));
                let mended = frame(HEADERS, END_HEADERS, 1, &block(form, false, mended.as_bytes()));
                let read = read_of(vec![connection(&[sent])], 8_192);
                assert_eq!(read, connection(&[mended]), "form {form:#x}, coded: {is_huffman}");
            }
        }
    }
}

#[test]
fn padding_and_priority_stay() {
    let dressed = |block: &[u8]| {
        let mut payload = vec![3, 0, 0, 0, 0, 16];
        payload.extend(block);
        payload.extend([0; 3]);
        frame(HEADERS, END_HEADERS | PADDED | PRIORITY, 1, &payload)
    };
    let sent = dressed(&block(0x41, true, URL.as_bytes()));
    let mended = dressed(&block(0x41, false, MENDED_URL.as_bytes()));
    assert_eq!(read_of(vec![connection(&[sent])], 8_192), connection(&[mended]));
}

#[test]
fn what_is_well_or_cannot_be_read_goes_on_as_it_came() {
    let well = block(0x41, true, b"127.0.0.1:2379");
    let ill = block(0x41, true, URL.as_bytes());
    let padding_only = [200, 0x41, 3, b':', b'/', b'/'];
    for sent in [
        frame(HEADERS, END_HEADERS, 1, &well),
        // A block in two frames.
        frame(HEADERS, 0, 1, &ill),
        frame(CONTINUATION, END_HEADERS, 1, &ill),
        frame(0, 0, 1, &ill),
        // An empty one, one that ends within a field, one of padding, one with a length without end.
        frame(HEADERS, END_HEADERS, 1, &[]),
        frame(HEADERS, END_HEADERS, 1, &ill[..ill.len() / 2]),
        frame(HEADERS, END_HEADERS | PADDED, 1, &padding_only),
        frame(HEADERS, END_HEADERS | PADDED | PRIORITY, 1, &[0, 1]),
        frame(HEADERS, END_HEADERS, 1, &[0xff; 40]),
        // An empty authority.
        frame(HEADERS, END_HEADERS, 1, &block(0x41, false, b"")),
        // Longer than a server takes.
        frame(
            HEADERS,
            END_HEADERS,
            1,
            &[block(0x41, false, URL.as_bytes()), vec![0x82; 16_384]].concat(),
        ),
    ] {
        let sent = connection(&[sent]);
        assert_eq!(read_of(vec![sent.clone()], 8_192), sent);
    }
    let foreign = b"GET /health HTTP/1.1\r\nhost: http://127.0.0.1\r\n\r\n".to_vec();
    assert_eq!(read_of(vec![foreign.clone()], 7), foreign);
    let unfinished = [
        connection(&[]),
        frame(HEADERS, END_HEADERS, 1, &ill)[..20].to_vec(),
    ]
    .concat();
    assert_eq!(read_of(vec![unfinished.clone()], 7), unfinished);
}

/// A frame, and what is to be read of it.
fn any_frame() -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
    let data = (0..10_u8, vec(any::<u8>(), 0..300)).prop_map(|(kind, payload)| {
        let kind = if kind == HEADERS { 0 } else { kind };
        let frame = frame(kind, 0, 1, &payload);
        (frame.clone(), frame)
    });
    let headers = (0..FORMS.len(), any::<bool>(), any::<bool>()).prop_map(|(form, is_huffman, is_well)| {
        let (sent, mended) = match is_well {
            true => ("stead:2379", "stead:2379"),
            false => (URL, MENDED_URL),
        };
        let sent = frame(
            HEADERS,
            END_HEADERS,
            3,
            &block(FORMS[form], is_huffman, sent.as_bytes()),
        );
        let mended = match is_well {
            true => sent.clone(),
            false => frame(
                HEADERS,
                END_HEADERS,
                3,
                &block(FORMS[form], false, mended.as_bytes()),
            ),
        };
        (sent, mended)
    });
    prop_oneof![data, headers]
}

fn in_chunks(bytes: &[u8], lengths: &[usize]) -> Vec<Vec<u8>> {
    let mut rest = bytes;
    let mut chunks = Vec::new();
    for length in lengths.iter().cycle() {
        let (chunk, after) = rest.split_at((*length).min(rest.len()));
        if chunk.is_empty() {
            break;
        }
        chunks.push(chunk.to_vec());
        rest = after;
    }
    chunks
}

proptest! {
    #[test]
    fn it_does_not_matter_how_the_bytes_arrive(
        frames in vec(any_frame(), 1..12),
        lengths in vec(1..400_usize, 1..8),
        buffer_bytes in 1..600_usize,
    ) {
        let (sent, mended): (Vec<_>, Vec<_>) = frames.into_iter().unzip();
        let read = read_of(in_chunks(&connection(&sent), &lengths), buffer_bytes);
        prop_assert_eq!(read, connection(&mended));
    }

    #[test]
    fn no_bytes_are_lost_or_added_where_nothing_is_mended(
        bytes in vec(any::<u8>(), 0..600),
        lengths in vec(1..50_usize, 1..8),
        buffer_bytes in 1..60_usize,
    ) {
        // A payload of anything has no literal whose name is the authority's if these bytes are not in it.
        let bytes: Vec<u8> = bytes.into_iter().filter(|byte| !FORMS.contains(byte)).collect();
        for sent in [bytes.clone(), connection(&[frame(HEADERS, END_HEADERS, 1, &bytes)])] {
            prop_assert_eq!(read_of(in_chunks(&sent, &lengths), buffer_bytes), sent);
        }
    }

    #[test]
    fn every_authority_becomes_one_of_the_same_length(sent in vec(any::<u8>(), 1..120)) {
        let block = frame(HEADERS, END_HEADERS, 1, &block(0x41, false, &sent));
        let read = read_of(vec![connection(std::slice::from_ref(&block))], 8_192);
        let at = PREFACE.len() + FRAME_HEAD_BYTES + BEFORE_AUTHORITY.len() + 2;
        let mended = &read[at..at + sent.len()];
        prop_assert!(Authority::try_from(mended).is_ok(), "{:?} became {:?}", sent, mended);
        prop_assert_eq!(read.len(), PREFACE.len() + block.len());
        if Authority::try_from(&sent[..]).is_ok() {
            prop_assert_eq!(mended, sent);
        }
    }
}

/// The second request names the authority by its place in the table, which is where the first one put it.
#[tokio::test]
async fn the_library_takes_calls_to_a_url() {
    let (mut client, server) = tokio::io::duplex(4_096);
    let mut by_index = BEFORE_AUTHORITY.to_vec();
    // The newest entries come first: `te` and the second path are before the authority.
    by_index.push(0x80 | (62 + 2));
    let opened = END_HEADERS | END_STREAM;
    let bytes = connection(&[
        frame(SETTINGS, 0, 0, &[]),
        frame(HEADERS, opened, 1, &block(0x41, true, URL.as_bytes())),
        frame(HEADERS, opened, 3, &by_index),
    ]);
    client.write_all(&bytes).await.expect("the pipe takes it");
    let mut connection = h2::server::handshake(LenientAuthority::new(server))
        .await
        .expect("a client that speaks HTTP/2");
    for _ in 0..2 {
        let (request, _) = connection
            .accept()
            .await
            .expect("a request")
            .expect("a valid one");
        let authority = request.uri().authority().expect("it has an authority");
        assert_eq!(authority.as_str(), MENDED_URL);
        assert_eq!(authority.host(), "127.0.0.1");
    }
}
