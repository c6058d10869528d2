//! `tandem dlq`: looks at what could not be used, straight at the broker that the settings name.

use crate::{
    cli::{DlqAction, DlqArgs, DlqChoice, DlqQueue},
    settings::Settings,
};
use anyhow::{anyhow, ensure};
use queue::{DeadLetter, DeadLetters, DeadLettersOf, Sentence};
use std::sync::atomic::{AtomicUsize, Ordering};

const REASON_CHARS: usize = 100;

pub(crate) async fn run(settings: &Settings, args: DlqArgs) -> anyhow::Result<()> {
    let of = match args.queue {
        DlqQueue::Doorbell => DeadLettersOf::Doorbell,
        DlqQueue::Submissions => DeadLettersOf::Submissions,
    };
    let letters = of.open(&settings.doorbell, &settings.submissions)?;
    match args.action {
        DlqAction::List => list(&*letters, args.most).await,
        DlqAction::Show { id } => show(&*letters, args.most, &id).await,
        DlqAction::Redrive(chosen) => settle(&*letters, args.most, &chosen, Sentence::Redrive).await,
        DlqAction::Drop(chosen) => settle(&*letters, args.most, &chosen, Sentence::Drop).await,
    }
}

async fn list(letters: &dyn DeadLetters, most: usize) -> anyhow::Result<()> {
    for letter in letters.sort(most, &|_| Sentence::Keep).await? {
        let reason: String = letter.reason.as_deref().unwrap_or("(no reason)").chars().take(REASON_CHARS).collect();
        println!("{}  {:>8} bytes  {reason}", letter.id, letter.message.len());
    }
    Ok(())
}

async fn show(letters: &dyn DeadLetters, most: usize, id: &str) -> anyhow::Result<()> {
    let found = letters.sort(most, &|_| Sentence::Keep).await?.into_iter().find(|letter| letter.id == id);
    let letter = found.ok_or_else(|| anyhow!(no_such_letter(id, most)))?;
    eprintln!("{}", letter.reason.as_deref().unwrap_or("(no reason)"));
    println!("{}", String::from_utf8_lossy(&letter.message));
    Ok(())
}

async fn settle(letters: &dyn DeadLetters, most: usize, chosen: &DlqChoice, as_said: Sentence) -> anyhow::Result<()> {
    let count = AtomicUsize::new(0);
    let judge = |letter: &DeadLetter| {
        if !chosen.all && !chosen.ids.contains(&letter.id) {
            return Sentence::Keep;
        }
        count.fetch_add(1, Ordering::Relaxed);
        as_said
    };
    letters.sort(most, &judge).await?;
    let count = count.into_inner();
    ensure!(chosen.all || count > 0, no_such_letter(&chosen.ids.join(", "), most));
    let done = if as_said == Sentence::Drop { "dropped" } else { "sent again" };
    println!("{count} {done}.");
    Ok(())
}

fn no_such_letter(id: &str, most: usize) -> String {
    format!("no dead letter {id} among the first {most}; `tandem dlq list` shows them, --most looks at more")
}
