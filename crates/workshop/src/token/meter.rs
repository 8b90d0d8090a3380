//! How much was asked with a key: a bucket for requests, one for tokens, and the day's sum.
//!
//! A bucket holds a minute's worth and fills steadily. A prompt is taken when a request enters, since
//! its length is known then; an answer when it ends, since only then is its length known. It may leave
//! the bucket in debt, which later requests wait out: over time no key gets more than it is allowed,
//! and no request is charged for tokens that were never made. This is why governor, whose limiter
//! (GCRA) has no debt, is not used: one kind of bucket serves requests and tokens.
//!
//! All in whole numbers, time passed in: a minute's limit of L fills by L units of 1/60000 a
//! millisecond.

use super::{Allowance, DAY_MS, DayUse, day_of};

/// The parts a unit is counted in: milliseconds of a minute.
const PARTS: i64 = 60_000;

/// Why something may not be asked now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Short {
    /// The minute's requests are used up.
    Requests {
        /// How many there are in a minute.
        limit: u32,
        /// Until there is one again.
        wait_ms: u64,
    },
    /// The minute's tokens do not suffice.
    Tokens {
        /// How many there are in a minute.
        limit: u32,
        /// Until they suffice.
        wait_ms: u64,
    },
    /// The prompt alone has more tokens than a minute or a day ever gives.
    TooLarge {
        /// The most.
        limit: u64,
        /// The prompt's.
        asked: u64,
    },
    /// The day's tokens are used up.
    Day {
        /// How many there are in a day.
        limit: u64,
        /// Until the next day, by UTC.
        wait_ms: u64,
    },
}

/// How a bucket stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Level {
    /// What a minute gives.
    pub limit: u32,
    /// What is left now.
    pub remaining: u64,
    /// Until all of it is there again.
    pub reset_ms: u64,
}

/// How a key stands; what is not limited is absent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Standing {
    /// Its requests.
    pub requests: Option<Level>,
    /// Its tokens.
    pub tokens: Option<Level>,
}

/// A minute's worth of something.
#[derive(Debug)]
struct Bucket {
    limit: u32,
    /// In parts; below zero in debt.
    level: i64,
    at_ms: i64,
}

impl Bucket {
    fn full(limit: u32, now_ms: i64) -> Bucket {
        Bucket {
            limit,
            level: i64::from(limit) * PARTS,
            at_ms: now_ms,
        }
    }

    fn capacity(&self) -> i64 {
        i64::from(self.limit) * PARTS
    }

    /// Lets in what the time since the last look brings; a clock set back brings nothing.
    fn fill(&mut self, now_ms: i64) {
        let since = now_ms.saturating_sub(self.at_ms).max(0);
        let more = i64::from(self.limit).saturating_mul(since);
        self.level = self.level.saturating_add(more).min(self.capacity());
        self.at_ms = now_ms;
    }

    /// Until `count` are there; 0 when they are.
    fn wait_ms(&self, count: u64) -> u64 {
        let missing = parts(count).saturating_sub(self.level);
        if missing <= 0 {
            return 0;
        }
        missing
            .unsigned_abs()
            .div_ceil(u64::from(self.limit.max(1)))
    }

    fn take(&mut self, count: u64) {
        self.level = self.level.saturating_sub(parts(count));
    }

    fn give_back(&mut self, count: u64) {
        let level = self.level.saturating_add(parts(count));
        self.level = level.min(self.capacity());
    }

    fn stands(&self) -> Level {
        Level {
            limit: self.limit,
            remaining: self.level.max(0).unsigned_abs() / PARTS.unsigned_abs(),
            reset_ms: self.wait_ms(u64::from(self.limit)),
        }
    }
}

fn parts(count: u64) -> i64 {
    i64::try_from(count)
        .unwrap_or(i64::MAX)
        .saturating_mul(PARTS)
}

/// What was asked with one key, and what may still be.
#[derive(Debug)]
pub(super) struct Meter {
    requests: Option<Bucket>,
    tokens: Option<Bucket>,
    day_max: Option<u64>,
    today: DayUse,
    /// Days that ended and are not yet written.
    ended: Vec<DayUse>,
    /// Today changed since it was written.
    changed: bool,
}

impl Meter {
    /// A meter with full buckets; `today` is what the store has of this day.
    pub fn new(allowance: Allowance, today: Option<DayUse>, now_ms: i64) -> Meter {
        let fresh = DayUse {
            day: day_of(now_ms),
            ..DayUse::default()
        };
        Meter {
            requests: allowance
                .requests_per_minute
                .map(|limit| Bucket::full(limit, now_ms)),
            tokens: allowance
                .tokens_per_minute
                .map(|limit| Bucket::full(limit, now_ms)),
            day_max: allowance.tokens_per_day,
            today: today
                .filter(|today| today.day == fresh.day)
                .unwrap_or(fresh),
            ended: Vec::new(),
            changed: false,
        }
    }

    /// Counts a request.
    ///
    /// # Errors
    /// What is used up.
    pub fn request(&mut self, now_ms: i64) -> Result<(), Short> {
        self.advance(now_ms);
        self.today.requests += 1;
        self.changed = true;
        if let Some(bucket) = &mut self.requests {
            let wait_ms = bucket.wait_ms(1);
            if wait_ms > 0 {
                let limit = bucket.limit;
                return Err(Short::Requests { limit, wait_ms });
            }
            bucket.take(1);
        }
        // Whoever is in debt is told before anything is read.
        self.suffices(1, now_ms)
    }

    /// Takes the tokens of a prompt, and tells of which day.
    ///
    /// # Errors
    /// What does not suffice; nothing is taken then.
    pub fn prompt(&mut self, tokens: u64, now_ms: i64) -> Result<i64, Short> {
        self.advance(now_ms);
        let minute = self.tokens.as_ref().map(|bucket| u64::from(bucket.limit));
        let most = minute.into_iter().chain(self.day_max).min();
        if let Some(limit) = most.filter(|limit| tokens > *limit) {
            let asked = tokens;
            return Err(Short::TooLarge { limit, asked });
        }
        self.suffices(tokens, now_ms)?;
        if let Some(bucket) = &mut self.tokens {
            bucket.take(tokens);
        }
        self.today.prompt_tokens += tokens;
        self.changed = true;
        Ok(self.today.day)
    }

    /// Takes the tokens of an answer that ended.
    pub fn answer(&mut self, tokens: u64, now_ms: i64) {
        self.advance(now_ms);
        if let Some(bucket) = &mut self.tokens {
            bucket.take(tokens);
        }
        self.today.answer_tokens += tokens;
        self.changed = true;
    }

    /// Takes tokens of a prompt that turned out longer than was taken for it, into debt if need be.
    pub fn more(&mut self, tokens: u64, now_ms: i64) {
        self.advance(now_ms);
        if let Some(bucket) = &mut self.tokens {
            bucket.take(tokens);
        }
        self.today.prompt_tokens += tokens;
        self.changed = true;
    }

    /// Gives back the tokens of a prompt that was never read; they were taken of `day`.
    pub fn give_back(&mut self, tokens: u64, day: i64, now_ms: i64) {
        self.advance(now_ms);
        if let Some(bucket) = &mut self.tokens {
            bucket.give_back(tokens);
        }
        // Where midnight has passed since they stay where they were counted.
        if day == self.today.day {
            self.today.prompt_tokens = self.today.prompt_tokens.saturating_sub(tokens);
            self.changed = true;
        }
    }

    /// How the buckets stand.
    pub fn stands(&mut self, now_ms: i64) -> Standing {
        self.advance(now_ms);
        Standing {
            requests: self.requests.as_ref().map(Bucket::stands),
            tokens: self.tokens.as_ref().map(Bucket::stands),
        }
    }

    /// What was asked today.
    pub fn today(&mut self, now_ms: i64) -> DayUse {
        self.advance(now_ms);
        self.today
    }

    /// The days that changed since the last call.
    pub fn changed(&mut self) -> Vec<DayUse> {
        let mut days = std::mem::take(&mut self.ended);
        if std::mem::take(&mut self.changed) {
            days.push(self.today);
        }
        days
    }

    fn suffices(&self, tokens: u64, now_ms: i64) -> Result<(), Short> {
        if let Some(limit) = self.day_max {
            let used = self.today.prompt_tokens + self.today.answer_tokens;
            if used.saturating_add(tokens) > limit {
                let next_day = (day_of(now_ms) + 1) * DAY_MS;
                let wait_ms = (next_day - now_ms).unsigned_abs();
                return Err(Short::Day { limit, wait_ms });
            }
        }
        if let Some(bucket) = &self.tokens {
            let wait_ms = bucket.wait_ms(tokens);
            if wait_ms > 0 {
                let limit = bucket.limit;
                return Err(Short::Tokens { limit, wait_ms });
            }
        }
        Ok(())
    }

    /// Fills the buckets and turns the day.
    fn advance(&mut self, now_ms: i64) {
        for bucket in [&mut self.requests, &mut self.tokens].into_iter().flatten() {
            bucket.fill(now_ms);
        }
        let day = day_of(now_ms);
        // A clock that is set back stays on the later day: nobody gets a day twice.
        if day > self.today.day {
            if std::mem::take(&mut self.changed) {
                self.ended.push(self.today);
            }
            self.today = DayUse {
                day,
                ..DayUse::default()
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE_MS: i64 = 60_000;

    fn meter(requests: Option<u32>, tokens: Option<u32>, day: Option<u64>) -> Meter {
        let allowance = Allowance {
            requests_per_minute: requests,
            tokens_per_minute: tokens,
            tokens_per_day: day,
        };
        Meter::new(allowance, None, 0)
    }

    #[test]
    fn requests_come_back_one_by_one() {
        let mut meter = meter(Some(2), None, None);
        assert_eq!(meter.request(0), Ok(()));
        assert_eq!(meter.request(0), Ok(()));
        let short = Short::Requests {
            limit: 2,
            wait_ms: 30_000,
        };
        assert_eq!(meter.request(0), Err(short));
        // Exactly when it was said to, and not a moment before.
        assert!(meter.request(29_999).is_err());
        assert_eq!(meter.request(30_000), Ok(()));
        assert!(meter.request(30_000).is_err());
        // However long nobody asks, a minute's worth is all there is.
        assert_eq!(
            meter.stands(1 << 50).requests.map(|it| it.remaining),
            Some(2)
        );
    }

    #[test]
    fn an_answer_may_leave_a_debt_that_is_waited_out() {
        let mut meter = meter(None, Some(600), None);
        assert_eq!(meter.prompt(100, 0), Ok(0));
        meter.answer(1100, 0);
        // 600 short of nothing, one token more to begin: 601 tokens at 10 a second.
        let short = Short::Tokens {
            limit: 600,
            wait_ms: 60_100,
        };
        assert_eq!(meter.request(0), Err(short));
        assert_eq!(meter.request(60_100), Ok(()));
        assert!(meter.prompt(2, 60_100).is_err());
        assert_eq!(meter.prompt(1, 60_100), Ok(0));
    }

    #[test]
    fn no_more_is_used_over_time_than_is_allowed() {
        let mut meter = meter(None, Some(1000), None);
        let mut used = 0;
        for second in 0..600 {
            let now_ms = second * 1000;
            if meter.request(now_ms).is_ok() && meter.prompt(70, now_ms).is_ok() {
                meter.answer(90, now_ms);
                used += 160;
            }
        }
        // Ten minutes and the full bucket of the beginning; one answer may be owed at the end.
        assert!(used <= 11 * 1000 + 160, "{used}");
        assert!(used >= 10 * 1000, "{used}");
    }

    #[test]
    fn what_never_fits_is_said_to_be_too_large() {
        let asked = 601;
        let mut by_minute = meter(None, Some(600), Some(10_000));
        let short = Err(Short::TooLarge { limit: 600, asked });
        assert_eq!(by_minute.prompt(asked, 0), short);
        let mut by_day = meter(None, None, Some(500));
        let short = Err(Short::TooLarge { limit: 500, asked });
        assert_eq!(by_day.prompt(asked, 0), short);
    }

    #[test]
    fn a_day_is_a_day_by_utc_and_what_is_written_adds_up() {
        let noon = 10 * DAY_MS + DAY_MS / 2;
        let allowance = Allowance {
            tokens_per_day: Some(100),
            ..Allowance::default()
        };
        let before = DayUse {
            day: 10,
            requests: 1,
            prompt_tokens: 40,
            answer_tokens: 0,
        };
        let mut meter = Meter::new(allowance, Some(before), noon);
        assert_eq!(meter.prompt(50, noon), Ok(10));
        let short = Short::Day {
            limit: 100,
            wait_ms: (DAY_MS / 2).unsigned_abs(),
        };
        assert_eq!(meter.prompt(20, noon), Err(short));
        meter.answer(30, noon);
        assert_eq!(meter.request(11 * DAY_MS), Ok(()));
        let days = meter.changed();
        let sums: Vec<_> = days
            .iter()
            .map(|it| (it.day, it.requests, it.prompt_tokens, it.answer_tokens))
            .collect();
        assert_eq!(sums, [(10, 1, 90, 30), (11, 1, 0, 0)]);
        assert!(meter.changed().is_empty());
        // A day of the store that is over does not count any more.
        let mut next = Meter::new(allowance, Some(before), noon + DAY_MS);
        assert_eq!(next.prompt(100, noon + DAY_MS), Ok(11));
    }

    #[test]
    fn a_prompt_that_was_never_read_is_given_back() {
        let mut meter = meter(None, Some(600), Some(600));
        assert_eq!(meter.prompt(600, 0), Ok(0));
        meter.give_back(600, 0, 0);
        assert_eq!(meter.stands(0).tokens.map(|it| it.remaining), Some(600));
        assert_eq!(meter.prompt(600, 0), Ok(0));
    }

    #[test]
    fn a_prompt_given_back_after_midnight_is_not_todays() {
        let mut meter = meter(None, None, Some(600));
        assert_eq!(meter.prompt(400, DAY_MS - 1), Ok(0));
        assert_eq!(meter.prompt(300, DAY_MS), Ok(1));
        meter.give_back(400, 0, DAY_MS + 1);
        assert_eq!(meter.today(DAY_MS + 1).prompt_tokens, 300);
        meter.give_back(300, 1, DAY_MS + 2);
        assert_eq!(meter.today(DAY_MS + 2).prompt_tokens, 0);
    }

    #[test]
    fn extremes_neither_overflow_nor_open() {
        let mut meter = meter(Some(u32::MAX), Some(u32::MAX), Some(u64::MAX));
        meter.answer(u64::MAX / 2, 0);
        assert!(meter.request(0).is_err());
        assert!(meter.request(MINUTE_MS).is_err());
        assert!(meter.prompt(1, i64::MAX / 2).is_ok());
        // A clock set back.
        assert!(meter.request(-MINUTE_MS).is_ok());
    }
}
