//! Log groups: what is written is found again in order, and what there is no room for goes, oldest first.

use cloud::Kind;

use crate::house::Lab;

#[test]
fn what_the_house_logs_is_kept_and_group_and_stream_are_made_for_it() {
    let lab = Lab::new();
    lab.log("/aws/lambda/f", "s", &["START", "END"]);
    lab.log("/aws/lambda/f", "t", &["START"]);
    assert_eq!(["log_groups", "log_streams", "log_events"].map(|table| lab.rows(table)), [1, 2, 3]);
    lab.elsewhere("000000000001", "us-east-1").log("/aws/lambda/f", "s", &["START"]);
    assert_eq!(["log_groups", "log_streams", "log_events"].map(|table| lab.rows(table)), [2, 3, 4]);
}

#[test]
fn a_group_that_is_full_loses_its_oldest_events_and_it_is_told_once() {
    let lab = Lab::new();
    let line = "x".repeat(300_000);
    for _ in 0..3 {
        lab.log("full", "old", &[&line, &line]);
    }
    assert_eq!(lab.rows("log_events"), 6);
    for _ in 0..3 {
        lab.log("full", "new", &[&line, &line]);
    }
    assert_eq!(lab.rows("log_events"), 6);
    assert_eq!(lab.rows("log_events_of_streams"), 6);
    assert_eq!(lab.rows("log_streams"), 1, "a stream goes with its last event");
    let told = lab.events().into_iter().filter(|kind| matches!(kind, Kind::LogFull { .. })).count();
    assert_eq!(told, 1);
}
