//! Money as pages and files show it. What is not known is said, never written as 0, and currencies are not added up.

use super::kit::Cell;
use super::shown;
use crate::store::read::costs::{Cost, Money};

/// What a cell of a list shows: what was spent, or the tokens of what has no price.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Spent {
    /// `$0.187`, `≥ $0.187` where calls have no price, `41.2k` where none has one.
    pub main: String,
    /// `41.2k`, `no price`.
    pub more: String,
    /// All of it in words.
    pub title: String,
}

impl Spent {
    /// Of calls that used so many tokens.
    pub fn of(cost: &Cost, tokens: i64) -> Self {
        let (sum, words) = (sum(cost), words(cost));
        let tokens_in_words = shown::many(tokens, "token");
        let title = if words.is_empty() { tokens_in_words } else { format!("{words}; {tokens_in_words}") };
        match (sum.is_empty(), cost.unknown) {
            (false, _) => Self { main: sum, more: shown::count(tokens), title },
            (true, 0) => Self { main: shown::count(tokens), more: String::new(), title },
            (true, _) => Self { main: shown::count(tokens), more: "no price".to_owned(), title },
        }
    }
}

/// `$0.187`, `$1.20 + €0.30`, `≥ $0.187` where calls have no price; empty when nothing is known.
pub fn sum(cost: &Cost) -> String {
    let sums = cost.sums.iter().map(money).collect::<Vec<_>>().join(" + ");
    if cost.unknown > 0 && !sums.is_empty() { format!("≥ {sums}") } else { sums }
}

/// The same in full: `0.1874 USD for 3 model calls; 1 model call without a price`. Empty when there were no calls.
pub fn words(cost: &Cost) -> String {
    let exact: Vec<_> = cost.sums.iter().map(|m| format!("{} {}", m.amount, m.currency)).collect();
    let priced = format!("{} for {}", exact.join(" and "), shown::many(cost.priced, "model call"));
    let unknown = format!("{} without a price", shown::many(cost.unknown, "model call"));
    match (exact.is_empty(), cost.unknown) {
        (true, 0) => String::new(),
        (true, _) => unknown,
        (false, 0) => priced,
        (false, _) => format!("{priced}; {unknown}"),
    }
}

/// `$18.42`, `€0.187`, `CHF 1,240.00`: two decimals from one on, else as many as say something.
pub fn money(money: &Money) -> String {
    let sign = match money.currency.as_str() {
        "USD" => "$".to_owned(),
        "EUR" => "€".to_owned(),
        "GBP" => "£".to_owned(),
        other => format!("{other}\u{a0}"),
    };
    let amount: f64 = money.amount.parse().unwrap_or(0.0);
    let text = match amount {
        0.0 => "0".to_owned(),
        0.9995.. => format!("{amount:.2}"),
        0.0095..0.9995 => format!("{amount:.3}"),
        0.000_000_5.. => {
            // Two digits that are not zero.
            let places = (2.0 - amount.log10()).floor();
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 3 to 8")]
            let text = format!("{amount:.*}", places as usize);
            text.trim_end_matches('0').to_owned()
        }
        _ => "0.000001".to_owned(),
    };
    let less = if amount > 0.0 && amount < 0.000_000_5 { "< " } else { "" };
    let (whole, part) = text.split_once('.').map_or((text.as_str(), None), |(w, p)| (w, Some(p)));
    let whole = grouped(whole);
    part.map_or_else(|| format!("{less}{sign}{whole}"), |part| format!("{less}{sign}{whole}.{part}"))
}

/// Digits in groups of three.
fn grouped(digits: &str) -> String {
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Cost, currency and calls without a price, for files. The cost is exact; of several currencies each has its code.
pub fn cells(cost: &Cost) -> [Cell; 3] {
    let (amount, currency) = match cost.sums.as_slice() {
        [] => (Cell::None, Cell::None),
        [one] => (Cell::Number(one.amount.clone()), Cell::Text(one.currency.clone())),
        many => {
            let each: Vec<_> = many.iter().map(|m| format!("{} {}", m.amount, m.currency)).collect();
            (Cell::Text(each.join(" and ")), Cell::Text("mixed".to_owned()))
        }
    };
    [amount, currency, Cell::Int(cost.unknown)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(amount: &str, currency: &str) -> Money {
        Money { currency: currency.into(), amount: amount.into() }
    }

    fn cost(sums: &[(&str, &str)], priced: i64, unknown: i64) -> Cost {
        Cost { sums: sums.iter().map(|(a, c)| of(a, c)).collect(), priced, unknown }
    }

    #[test]
    fn money_has_the_digits_that_say_something() {
        for (amount, currency, text) in [
            ("0", "USD", "$0"),
            ("0.00000012", "USD", "< $0.000001"),
            ("0.000125", "USD", "$0.00013"),
            ("0.0012", "EUR", "€0.0012"),
            ("0.001", "EUR", "€0.001"),
            ("0.0949", "USD", "$0.095"),
            ("0.187", "GBP", "£0.187"),
            ("0.99951", "USD", "$1.00"),
            ("18.424", "USD", "$18.42"),
            ("1234567.5", "CHF", "CHF\u{a0}1,234,567.50"),
        ] {
            assert_eq!(money(&of(amount, currency)), text, "{amount}");
        }
    }

    #[test]
    fn what_is_not_known_is_said() {
        let some = Spent::of(&cost(&[("0.187", "USD")], 3, 1), 41_200);
        assert_eq!((&*some.main, &*some.more), ("≥ $0.187", "41.2k"));
        assert_eq!(some.title, "0.187 USD for 3 model calls; 1 model call without a price; 41.2k tokens");
        let none = Spent::of(&cost(&[], 0, 2), 900);
        assert_eq!((&*none.main, &*none.more), ("900", "no price"));
        assert_eq!(Spent::of(&Cost::default(), 0).more, "");
        let free = Spent::of(&cost(&[("0", "USD")], 1, 0), 900);
        assert_eq!((&*free.main, &*free.more), ("$0", "900"));
    }

    #[test]
    fn currencies_are_not_added_up() {
        let both = cost(&[("0.3", "EUR"), ("1.2", "USD")], 4, 0);
        assert_eq!(sum(&both), "€0.300 + $1.20");
        let [cost, currency, unknown] = cells(&both);
        assert!(matches!(cost, Cell::Text(text) if text == "0.3 EUR and 1.2 USD"));
        assert!(matches!(currency, Cell::Text(text) if text == "mixed"));
        assert!(matches!(unknown, Cell::Int(0)));
    }
}
