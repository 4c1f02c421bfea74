//! What must hold of any bytes that come as a shadow request, shared by the tests of this crate and the fuzz targets in
//! `fuzz/`: nothing panics, versions count, what is stored can be read back and stays within its limit.

use shadow::{Document, Limits, Refused, Updated};

const NOW: i64 = 1_700_000_000;

/// Requests that follow one another on one shadow, with NULs between: updates, and after each a get and a delete.
pub(crate) fn requests(input: &[u8]) {
    let limits = Limits::default();
    let mut record: Option<Vec<u8>> = None;
    for request in input.split(|byte| *byte == 0).take(8) {
        let stored = || record.as_deref().map(|record| Document::decode(record).unwrap());
        let version = stored().map_or(0, |document| document.version());
        reads(stored().as_ref(), request);
        if let Some(updated) = told(shadow::update(stored(), request, NOW, &limits)) {
            assert_eq!(updated.version, version + 1);
            holds_together(&updated, &limits);
            record = Some(updated.record);
        }
    }
}

/// A record as some disk may give it back.
pub(crate) fn records(input: &[u8]) {
    if let Ok(document) = Document::decode(input) {
        reads(Some(&document), b"");
        let request = br#"{"state":{"desired":{"a":1},"reported":null}}"#;
        told(shadow::update(Some(document), request, NOW, &Limits::default()));
    }
}

fn reads(stored: Option<&Document<'_>>, request: &[u8]) {
    if let Some(whole) = told(shadow::get(stored, "t", request, NOW)) {
        assert!(whole.starts_with(b"{\"state\":"));
    }
    if let Some(deleted) = told(shadow::delete(stored, "t", request, NOW)) {
        let tombstone = Document::decode(&deleted.record).unwrap();
        assert!(!tombstone.exists() && !tombstone.forgotten(NOW));
    }
}

fn holds_together(updated: &Updated, limits: &Limits) {
    let document = Document::decode(&updated.record).unwrap();
    assert!(document.exists());
    assert_eq!(document.version(), updated.version);
    let messages = [Some(&updated.accepted), updated.delta.as_ref(), Some(&updated.documents)];
    for message in messages.into_iter().flatten() {
        assert!(std::str::from_utf8(message).is_ok_and(|text| text.starts_with('{') && text.ends_with('}')));
    }
    // The state, and for each of its leaves 12 bytes at most.
    assert!(updated.record.len() <= 7 * limits.document_bytes + 64, "a record of {} bytes", updated.record.len());
}

/// The answer, if there is one; a refusal is one that can be sent.
fn told<T>(answer: Result<T, Refused>) -> Option<T> {
    answer.map_err(|refused| assert!(matches!(refused.code, 400..=499) && refused.body().starts_with(b"{"))).ok()
}
