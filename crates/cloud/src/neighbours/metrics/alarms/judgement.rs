//! What the last periods of a metric mean for an alarm: the rules of how many must be beyond the threshold, and of what stands for
//! those without values. A function of these, and of nothing else.

/// The state of an alarm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Ok,
    Alarm,
    InsufficientData,
}

impl State {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Alarm => "ALARM",
            Self::InsufficientData => "INSUFFICIENT_DATA",
        }
    }

    pub(super) fn of_name(name: &str) -> Option<Self> {
        [Self::Ok, Self::Alarm, Self::InsufficientData].into_iter().find(|state| state.name() == name)
    }
}

/// What stands for a period without values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Missing {
    Breaching,
    NotBreaching,
    /// The state stays as it is.
    Ignore,
    /// Nothing is known.
    Unknown,
}

impl Missing {
    pub(super) fn of_name(name: &str) -> Option<Self> {
        match name {
            "breaching" => Some(Self::Breaching),
            "notBreaching" => Some(Self::NotBreaching),
            "ignore" => Some(Self::Ignore),
            "missing" => Some(Self::Unknown),
            _ => None,
        }
    }
}

/// Periods beyond those asked for that are looked at too, in case some of them have no values.
pub(super) const BEYOND: usize = 2;

/// Judges periods, the latest last: of each whether it was beyond the threshold, or nothing if it had no values. `needed` of
/// `periods` make an alarm. Nothing if the state stays as it is.
///
/// The rules are those of the two tables in which AWS tells how it treats missing data.
pub(super) fn judge(window: &[Option<bool>], periods: usize, needed: usize, missing: Missing) -> Option<State> {
    let known: Vec<bool> = window.iter().rev().copied().flatten().take(periods).collect();
    let breaching = known.iter().filter(|beyond| **beyond).count();
    let lacking = periods - known.len();
    let alarm = |is_alarm| Some(if is_alarm { State::Alarm } else { State::Ok });
    if lacking == 0 || breaching >= needed {
        return alarm(breaching >= needed);
    }
    match missing {
        Missing::Breaching => alarm(breaching + lacking >= needed),
        Missing::Unknown if known.is_empty() => Some(State::InsufficientData),
        Missing::Ignore if known.is_empty() => None,
        Missing::Unknown => alarm(is_all_breaching_for(window, needed)),
        Missing::Ignore if is_all_breaching_for(window, needed) => None,
        Missing::Ignore | Missing::NotBreaching => alarm(false),
    }
}

/// Whether all that is known is beyond the threshold, and the oldest of it so long ago as an alarm needs.
fn is_all_breaching_for(window: &[Option<bool>], needed: usize) -> bool {
    let oldest = window.iter().position(Option::is_some).map(|at| window.len() - at);
    oldest.is_some_and(|ago| ago >= needed) && window.iter().flatten().all(|beyond| *beyond)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(text: &str) -> Vec<Option<bool>> {
        let read = |word| match word {
            "X" => Some(true),
            "0" => Some(false),
            _ => None,
        };
        text.split(' ').map(read).collect()
    }

    /// The rows of AWS's tables: in the order missing, ignore, breaching, not breaching.
    #[test]
    fn missing_data_is_treated_as_awss_tables_say() {
        let words = ["missing", "ignore", "breaching", "notBreaching"];
        let cases = [
            ("0 - X - X", 3, ["OK", "OK", "OK", "OK"]),
            ("- - - - 0", 3, ["OK", "OK", "OK", "OK"]),
            ("- - - - -", 3, ["INSUFFICIENT_DATA", "stays", "ALARM", "OK"]),
            ("0 X X - X", 3, ["ALARM", "ALARM", "ALARM", "ALARM"]),
            ("- - X - -", 3, ["ALARM", "stays", "ALARM", "OK"]),
            ("0 - X - X", 2, ["ALARM", "ALARM", "ALARM", "ALARM"]),
            ("0 0 X 0 X", 2, ["ALARM", "ALARM", "ALARM", "ALARM"]),
            ("0 - X - -", 2, ["OK", "OK", "ALARM", "OK"]),
            ("- - - - 0", 2, ["OK", "OK", "ALARM", "OK"]),
            ("- - - X -", 2, ["ALARM", "stays", "ALARM", "OK"]),
        ];
        for (text, needed, expected) in cases {
            let judged = words.map(|word| judge(&window(text), 3, needed, Missing::of_name(word).unwrap()));
            assert_eq!(judged.map(|state| state.map_or("stays", State::name)), expected, "{text}, {needed}");
        }
    }

    #[test]
    fn whole_windows_are_counted() {
        for (text, needed, expected) in [("0 0 0", 1, State::Ok), ("0 X 0", 1, State::Alarm), ("X X 0", 3, State::Ok)] {
            assert_eq!(judge(&window(text), 3, needed, Missing::Unknown), Some(expected), "{text}");
        }
    }
}
