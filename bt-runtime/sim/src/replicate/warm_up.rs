//! One warm-up for runs that are compared.
//!
//! Where a swarm becomes steady depends on the policy and on chance. If each run were cut at its own place, other peers
//! would count in the one than in the other run of a pair, and which ones would depend on how each went: part of what
//! is to be measured. So all are cut at the latest of their own places: there each of them is steady, and the same
//! peers, who meet the same arrivals, count in all runs of a seed.

use super::{Job, Ran};
use crate::measure::Cut;
use crate::output::{self, OutputError};

/// Cuts the runs of `jobs` at the latest of the places where each is steady by itself; what is in their folders is
/// written anew.
///
/// # Errors
/// When the files of a run cannot be read or written.
pub fn cut_alike(jobs: &[Job], ran: &mut [Ran]) -> Result<(), OutputError> {
    let own = ran.iter().filter_map(|ran| Some(ran.summary.warm_up.as_ref()?.own_s));
    let latest = own.fold(0.0, f64::max);
    for (job, ran) in jobs.iter().zip(ran) {
        let Some(Cut { until_s, rule, own_s, .. }) = ran.summary.warm_up else { continue };
        if until_s == latest {
            continue;
        }
        let mut measured = match (&job.folder, ran.all.take()) {
            (_, Some(measured)) => *measured,
            (Some(folder), None) => output::read(folder)?.measured,
            (None, None) => continue,
        };
        measured.cut_at(rule, own_s, latest);
        let mut manifest = ran.manifest.clone();
        manifest.warm_up = measured.summary.warm_up.clone();
        if let Some(folder) = &job.folder {
            output::write_summary(folder, &manifest, &measured.summary)?;
        }
        let again = Ran::new(manifest, measured.summary.clone(), &measured.peers, ran.reused);
        *ran = Ran { all: job.folder.is_none().then(|| measured.into()), ..again };
    }
    Ok(())
}
