//! What months, days, eras and time zones are called in English, as Java calls them. The names of zones come from a table
//! beside this file; this file knows nothing of their rules.

use std::collections::HashMap;
use std::sync::LazyLock;

pub(super) const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
pub(super) const SHORT_MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
pub(super) const NARROW_MONTHS: [&str; 12] = ["J", "F", "M", "A", "M", "J", "J", "A", "S", "O", "N", "D"];
/// Monday first.
pub(super) const DAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
pub(super) const SHORT_DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
pub(super) const NARROW_DAYS: [&str; 7] = ["M", "T", "W", "T", "F", "S", "S"];
pub(super) const HALVES: [&str; 2] = ["AM", "PM"];
pub(super) const ERAS: [&str; 2] = ["Before Christ", "Anno Domini"];
pub(super) const SHORT_ERAS: [&str; 2] = ["BC", "AD"];
pub(super) const NARROW_ERAS: [&str; 2] = ["B", "A"];
pub(super) const QUARTERS: [&str; 4] = ["1st quarter", "2nd quarter", "3rd quarter", "4th quarter"];
pub(super) const SHORT_QUARTERS: [&str; 4] = ["Q1", "Q2", "Q3", "Q4"];
pub(super) const NARROW_QUARTERS: [&str; 4] = ["1", "2", "3", "4"];

/// One line of the table.
struct Family {
    /// The zone that the names stand for when they are read.
    home: &'static str,
    /// Standard, daylight and generic name, long and short each.
    names: [&'static str; 6],
}

/// What zones are called, and what the names mean.
struct Table {
    by_zone: HashMap<&'static str, [&'static str; 6]>,
    long: HashMap<&'static str, &'static str>,
    short: HashMap<&'static str, &'static str>,
}

static TABLE: LazyLock<Table> = LazyLock::new(|| {
    let mut table = Table { by_zone: HashMap::new(), long: HashMap::new(), short: HashMap::new() };
    for line in include_str!("zones.txt").lines().filter(|line| !line.starts_with('#')) {
        let Some((family, zones)) = family(line) else { continue };
        table.by_zone.extend(zones.split(' ').map(|zone| (zone, family.names)));
        for (at, name) in family.names.into_iter().enumerate().filter(|(_, name)| !name.is_empty()) {
            let names = if at % 2 == 0 { &mut table.long } else { &mut table.short };
            names.entry(name).or_insert(family.home);
        }
    }
    table
});

fn family(line: &'static str) -> Option<(Family, &'static str)> {
    let (home, rest) = line.split_once(';')?;
    let (names, zones) = rest.rsplit_once(';')?;
    let mut names = names.split(';');
    let mut next = || names.next();
    let names = [next()?, next()?, next()?, next()?, next()?, next()?];
    Some((Family { home, names }, zones))
}

/// What a zone is called, if it has a name.
pub(super) fn of_zone(id: &str, is_daylight: bool, long: bool) -> Option<&'static str> {
    let names = TABLE.by_zone.get(id)?;
    let name = names[usize::from(is_daylight) * 2 + usize::from(!long)];
    (!name.is_empty()).then_some(name)
}

/// The zone that the longest name at the front of a text stands for, and the length of that name.
///
/// unconfirmed: which zone a name means that several share (`IST`, `CST`, `BST`) is left to chance by Java; here it is the
/// one with the most people.
pub(super) fn zone_at(text: &str, long: bool) -> Option<(&'static str, usize)> {
    const LONGEST: usize = 48;
    let names = if long { &TABLE.long } else { &TABLE.short };
    let ends = (1..=text.len().min(LONGEST)).rev().filter_map(|end| text.get(..end));
    ends.filter_map(|name| names.get_key_value(name)).map(|(name, home)| (*home, name.len())).next()
}

#[cfg(test)]
mod tests {
    use super::super::zone;
    use super::*;

    #[test]
    fn every_line_of_the_table_is_read_and_every_zone_in_it_exists() {
        let lines: Vec<_> = include_str!("zones.txt").lines().filter(|line| !line.starts_with('#')).collect();
        assert!(lines.len() > 150);
        for line in lines {
            let (family, zones) = family(line).unwrap();
            assert!(zone::region(family.home).is_some(), "{line}");
            assert!(zones.split(' ').all(|zone| zone::region(zone).is_some()), "{line}");
            assert!(!family.names[0].is_empty() && family.names.iter().all(|name| name.len() <= 48), "{line}");
        }
    }

    #[test]
    fn the_longest_name_wins() {
        assert_eq!(zone_at("CSTx", false), Some(("America/Chicago", 3)));
        assert_eq!(zone_at("CT", false), Some(("America/Chicago", 2)));
        assert_eq!(zone_at("Pacific Standard Time!", true), Some(("America/Los_Angeles", 21)));
        assert_eq!(zone_at("Pacific", true), None);
        assert_eq!(zone_at("é", true), None);
    }
}
