//! What numbers are quoted by: medians and percentiles, never single runs; ratios of pairs, with an interval.

/// How sure an interval is to be.
const CONFIDENCE: f64 = 0.95;

/// The middle of the values; of an even number the mean of the two in the middle. 0 of none.
pub(crate) fn median(values: &[f64]) -> f64 {
    let sorted = sorted(values);
    let Some(upper) = sorted.get(sorted.len() / 2) else { return 0.0 };
    if sorted.len().is_multiple_of(2) { (sorted[sorted.len() / 2 - 1] + upper) / 2.0 } else { *upper }
}

/// The value below which `share` (0 to 1) of the sorted values lie.
pub(crate) fn percentile(sorted: &[u64], share: f64) -> u64 {
    let at = (sorted.len() as f64 * share) as usize;
    sorted.get(at.min(sorted.len().saturating_sub(1))).copied().unwrap_or(0)
}

/// A ratio, and the interval it lies in.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Ratio {
    pub(crate) median: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
}

/// The median of the ratios of pairs that were measured one right after the other, with a confidence interval of that median.
///
/// The interval is that of the order statistics: it needs no assumption about how the ratios are spread. With fewer than six pairs no
/// such interval reaches 95 %; then it is the range of all pairs. None of no pairs, or where a figure is 0.
pub(crate) fn paired_ratio(ours: &[f64], theirs: &[f64]) -> Option<Ratio> {
    let ratios: Vec<f64> = ours.iter().zip(theirs).map(|(ours, theirs)| ours / theirs).collect();
    if ratios.is_empty() || ratios.iter().any(|ratio| !ratio.is_finite()) {
        return None;
    }
    let sorted = sorted(&ratios);
    let outside = outside(sorted.len());
    Some(Ratio { median: median(&ratios), low: sorted[outside], high: sorted[sorted.len() - 1 - outside] })
}

/// How many of `n` sorted values lie outside of the interval, at each end: as many as the confidence allows.
///
/// The median of what is measured lies below the value number k with the probability that fewer than k of n coins show heads.
fn outside(n: usize) -> usize {
    let mut probability = 0.5_f64.powi(n.try_into().unwrap_or(i32::MAX));
    let mut below = 0.0;
    for k in 0..n / 2 {
        below += probability;
        if 2.0 * below > 1.0 - CONFIDENCE {
            return k.saturating_sub(1);
        }
        probability *= (n - k) as f64 / (k + 1) as f64;
    }
    (n / 2).saturating_sub(1)
}

fn sorted(values: &[f64]) -> Vec<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_and_the_tail_are_found() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert_eq!(median(&[]), 0.0);
        let sorted: Vec<u64> = (1..=100).collect();
        assert_eq!(percentile(&sorted, 0.5), 51);
        assert_eq!(percentile(&sorted, 0.99), 100);
        assert_eq!(percentile(&[], 0.5), 0);
    }

    #[test]
    fn the_interval_leaves_out_what_the_tables_of_the_sign_test_say() {
        // The largest k with 2 P(Bin(n, 1/2) < k) <= 0.05, less one.
        let expected = [(1, 0), (5, 0), (6, 0), (8, 0), (9, 1), (11, 1), (12, 2), (15, 3), (20, 5), (25, 7)];
        for (n, left_out) in expected {
            assert_eq!(outside(n), left_out, "{n}");
        }
    }

    #[test]
    fn a_ratio_is_that_of_pairs_so_a_machine_that_slows_down_does_not_change_it() {
        let ratio = paired_ratio(&[20.0, 10.0, 5.0], &[10.0, 5.0, 2.5]).unwrap();
        assert_eq!(ratio, Ratio { median: 2.0, low: 2.0, high: 2.0 });
        let nine: Vec<f64> = (1..=9).map(f64::from).collect();
        let ratio = paired_ratio(&nine, &[1.0; 9]).unwrap();
        assert_eq!(ratio, Ratio { median: 5.0, low: 2.0, high: 8.0 });
        assert_eq!(paired_ratio(&[], &[]), None);
        assert_eq!(paired_ratio(&[1.0], &[0.0]), None);
    }
}
