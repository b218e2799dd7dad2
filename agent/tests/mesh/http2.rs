//! HTTP/2 by hand, for those who do not keep to it.

#![allow(
    clippy::unwrap_used,
    missing_docs,
    dead_code,
    reason = "fixed bytes, for tests; not everybody says everything"
)]

/// What every client says first.
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Frame types of RFC 9113, section 6.
pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const CONTINUATION: u8 = 9;
pub const END_HEADERS: u8 = 4;

/// One frame.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// The headers of a call, each with its name by the static table of HPACK (RFC 7541, appendix A) and its value in full.
pub fn open(stream: u32) -> Vec<u8> {
    // POST, http
    let mut block = vec![0x83, 0x86];
    for (name, value) in [(0x04, "/rauthy.mesh.v1.Mesh/Open"), (0x01, "stranger"), (0x0f, "application/grpc")]
    {
        block.push(name);
        if name == 0x0f {
            // content-type, number 31, takes a second byte.
            block.push(31 - 15);
        }
        block.push(u8::try_from(value.len()).unwrap());
        block.extend(value.as_bytes());
    }
    frame(HEADERS, END_HEADERS, stream, &block)
}

/// The beginning of a message of gRPC: not compressed, and so long.
pub fn message(length: u32, bytes: &[u8]) -> Vec<u8> {
    [&[0], &length.to_be_bytes()[..], bytes].concat()
}

/// A proper beginning.
pub fn hello() -> Vec<u8> {
    [PREFACE.to_vec(), frame(SETTINGS, 0, 0, &[])].concat()
}

/// Everything a stranger says that does nothing but wait afterwards.
pub fn half_sentences() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("nothing", Vec::new()),
        ("half a preface", PREFACE[..10].to_vec()),
        ("a preface", PREFACE.to_vec()),
        ("settings", hello()),
        ("half a frame", [hello(), frame(DATA, 0, 1, &[0; 100])[..50].to_vec()].concat()),
        ("half a header block", [hello(), frame(HEADERS, 0, 1, &[0x83])].concat()),
        ("a stream without a message", [hello(), open(1)].concat()),
        ("half a message", [hello(), open(1), frame(DATA, 0, 1, &message(100, &[1; 10]))].concat()),
        ("half a prefix", [hello(), open(1), frame(DATA, 0, 1, &[0, 0])].concat()),
    ]
}

/// What is refused at once.
pub fn nonsense() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("HTTP/1", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec()),
        ("noise", (0..=255).cycle().skip(7).take(4096).collect()),
        ("a frame of 16 MB", [hello(), vec![0xff, 0xff, 0xff, DATA, 0, 0, 0, 0, 1]].concat()),
        ("data without a stream", [hello(), frame(DATA, 0, 7, &[0; 9])].concat()),
        ("headers that are none", [hello(), frame(HEADERS, END_HEADERS, 1, &[0xff; 40])].concat()),
    ]
}
