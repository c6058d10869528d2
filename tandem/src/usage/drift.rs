//! A bill against the ledger, cell by cell: a model of the bill on a day. Pure.

use super::{
    invoice::{Bill, Billed},
    names::{Group, Place},
    options::Tolerance,
};
use chrono::NaiveDate;
use domain::Money;
use std::collections::{BTreeMap, BTreeSet};

/// What the ledger has of a model, a deployment and a day.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Booked {
    pub(super) requests: i64,
    pub(super) unpriced: i64,
    pub(super) cost: Money,
    pub(super) tokens: (i64, i64),
}

/// The ledger by day and place.
pub(super) type Ledger = BTreeMap<(NaiveDate, Place), Booked>;

/// How far off is still right.
#[derive(Debug, Clone, Copy)]
pub(super) struct Allowed {
    pub(super) share: Tolerance,
    /// Differences of cost up to this don't count.
    pub(super) usd: Money,
}

/// What a cell shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// As near as is allowed.
    Agrees,
    /// The costs differ.
    CostDiffers,
    /// The costs agree and the tokens don't.
    TokensDiffer,
    /// The ledger has no such request.
    OnlyOnBill,
    /// The bill does not have that day.
    OnlyInLedger,
    /// Requests without a price: the ledger can't say what they cost.
    PriceUnknown,
}

/// A cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) day: NaiveDate,
    pub(super) group: usize,
    pub(super) billed: Option<Billed>,
    pub(super) booked: Booked,
    pub(super) verdict: Verdict,
}

/// Compares every group on every day that the bill or the ledger knows of it.
pub(super) fn compare(bill: &Bill, groups: &[Group], ledger: &Ledger, allowed: Allowed) -> Vec<Finding> {
    let mut cells: BTreeMap<(NaiveDate, usize), (Option<Billed>, Booked)> = BTreeMap::new();
    for ((model, day), billed) in bill {
        let Some(group) = groups.iter().position(|group| group.theirs.contains(model)) else { continue };
        let (sum, _) = cells.entry((*day, group)).or_default();
        *sum = Some(sum.map_or(*billed, |sum| sum.plus(*billed)));
    }
    for ((day, place), booked) in ledger {
        let Some(group) = groups.iter().position(|group| group.places.contains(place)) else { continue };
        let (_, sum) = cells.entry((*day, group)).or_default();
        *sum = sum.plus(*booked);
    }
    let finding = |((day, group), (billed, booked))| Finding {
        day,
        group,
        billed,
        booked,
        verdict: judge(billed, booked, allowed),
    };
    cells.into_iter().map(finding).collect()
}

/// What the ledger has that the bill says nothing of: other providers, own machines.
pub(super) fn not_compared(groups: &[Group], ledger: &Ledger) -> BTreeMap<Place, Booked> {
    let compared: BTreeSet<_> = groups.iter().flat_map(|group| &group.places).collect();
    let mut left: BTreeMap<Place, Booked> = BTreeMap::new();
    for ((_, place), booked) in ledger.iter().filter(|((_, place), _)| !compared.contains(place)) {
        let sum = left.entry(place.clone()).or_default();
        *sum = sum.plus(*booked);
    }
    left
}

impl Verdict {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Agrees => "agrees",
            Self::CostDiffers => "cost_differs",
            Self::TokensDiffer => "tokens_differ",
            Self::OnlyOnBill => "only_on_bill",
            Self::OnlyInLedger => "only_in_ledger",
            Self::PriceUnknown => "price_unknown",
        }
    }
}

impl Booked {
    pub(super) fn plus(self, other: Self) -> Self {
        Self {
            requests: self.requests + other.requests,
            unpriced: self.unpriced + other.unpriced,
            cost: self.cost + other.cost,
            tokens: (self.tokens.0.saturating_add(other.tokens.0), self.tokens.1.saturating_add(other.tokens.1)),
        }
    }
}

fn judge(billed: Option<Billed>, booked: Booked, allowed: Allowed) -> Verdict {
    let (theirs, ours) = (billed.unwrap_or_default().cost.nanos(), booked.cost.nanos());
    let is_near = theirs.abs_diff(ours) <= allowed.usd.nanos().unsigned_abs() || allowed.share.covers(theirs, ours);
    if booked.unpriced > 0 {
        return Verdict::PriceUnknown;
    }
    match billed {
        None if !is_near => Verdict::OnlyInLedger,
        Some(_) if !is_near && booked.requests == 0 => Verdict::OnlyOnBill,
        _ if !is_near => Verdict::CostDiffers,
        Some(Billed { tokens: Some((input, output)), .. })
            if !allowed.share.covers(input, booked.tokens.0) || !allowed.share.covers(output, booked.tokens.1) =>
        {
            Verdict::TokensDiffer
        }
        _ => Verdict::Agrees,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: NaiveDate = NaiveDate::from_ymd_opt(2026, 1, 1).unwrap();
    const NEXT: NaiveDate = NaiveDate::from_ymd_opt(2026, 1, 2).unwrap();

    fn usd(text: &str) -> Money {
        Money::from_usd(text).unwrap()
    }

    fn allowed() -> Allowed {
        Allowed { share: "1%".parse().unwrap(), usd: usd("0.01") }
    }

    fn billed(cost: &str, tokens: Option<(i64, i64)>) -> Option<Billed> {
        Some(Billed { cost: usd(cost), tokens })
    }

    fn booked(cost: &str, tokens: (i64, i64)) -> Booked {
        Booked { requests: 2, unpriced: 0, cost: usd(cost), tokens }
    }

    fn place(name: &str) -> Place {
        (name.to_owned(), format!("{name} here"))
    }

    fn group(theirs: &[&str], places: &[&str]) -> Group {
        let theirs = theirs.iter().map(|name| (*name).to_owned()).collect();
        Group { theirs, places: places.iter().map(|name| place(name)).collect() }
    }

    #[test]
    fn a_cell_is_judged() {
        let unpriced = Booked { unpriced: 1, ..booked("10", (0, 0)) };
        for (billed, booked, verdict) in [
            (billed("10", None), booked("10.1", (0, 0)), Verdict::Agrees),
            (billed("10", None), booked("9.899999999", (0, 0)), Verdict::CostDiffers),
            (billed("0.001", None), booked("0.011", (0, 0)), Verdict::Agrees),
            (billed("10", Some((100, 50))), booked("10", (101, 50)), Verdict::Agrees),
            (billed("10", Some((100, 50))), booked("10", (100, 48)), Verdict::TokensDiffer),
            (billed("10", None), Booked::default(), Verdict::OnlyOnBill),
            (None, booked("10", (0, 0)), Verdict::OnlyInLedger),
            (None, booked("0.01", (9, 9)), Verdict::Agrees),
            (billed("10", None), unpriced, Verdict::PriceUnknown),
            (None, unpriced, Verdict::PriceUnknown),
            (billed("0", None), Booked::default(), Verdict::Agrees),
        ] {
            assert_eq!(judge(billed, booked, allowed()), verdict, "{billed:?} {booked:?}");
        }
    }

    #[test]
    fn every_day_that_one_side_knows_is_a_cell() {
        let groups = [group(&["a", "a-old"], &["fast", "slow"]), group(&["b"], &[])];
        let bill = Bill::from([
            (("a".to_owned(), DAY), billed("1", None).unwrap()),
            (("a-old".to_owned(), DAY), billed("2", None).unwrap()),
            (("b".to_owned(), NEXT), billed("3", None).unwrap()),
            (("ignored".to_owned(), NEXT), billed("4", None).unwrap()),
        ]);
        let ledger = Ledger::from([
            ((DAY, place("fast")), booked("2", (0, 0))),
            ((DAY, place("slow")), booked("1", (0, 0))),
            ((NEXT, place("fast")), booked("5", (0, 0))),
            ((NEXT, place("own")), booked("6", (0, 0))),
        ]);

        let findings = compare(&bill, &groups, &ledger, allowed());

        let seen: Vec<_> = findings.iter().map(|finding| (finding.day, finding.group, finding.verdict)).collect();
        let told = [(DAY, 0, Verdict::Agrees), (NEXT, 0, Verdict::OnlyInLedger), (NEXT, 1, Verdict::OnlyOnBill)];
        assert_eq!(seen, told);
        assert_eq!(findings[0].billed.unwrap().cost, usd("3"));
        assert_eq!(not_compared(&groups, &ledger), BTreeMap::from([(place("own"), booked("6", (0, 0)))]));
    }
}
