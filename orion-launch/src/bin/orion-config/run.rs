// SPDX-License-Identifier: MPL-2.0
//! A command from the connection to the answer.

use std::time::Duration;

use crate::{
    asking::{Answer, Room},
    cli::{Command, Common},
    failure::Failure,
    out::{note, say},
    requests, status,
    text::{self, done},
    watch,
    words::ALL,
};

/// Carries a command out.
///
/// # Errors
/// [`Failure`] when it is not done; what of it stands in answers has been told.
pub(crate) async fn run(common: &Common, command: &Command) -> Result<(), Failure> {
    let limit = Duration::from_secs_f64(common.timeout.unwrap_or_else(|| requests::patience(command)));
    match command {
        Command::List => list(common, limit).await,
        Command::Watch { count } => watch::watch(common, limit, *count).await,
        command => ask(common, command, limit).await,
    }
}

async fn list(common: &Common, limit: Duration) -> Result<(), Failure> {
    let everybody = Common { id: None, ..common.clone() };
    let room = Room::enter(&everybody, limit, &["presence"]).await?;
    let wanted = |id: &str| common.id.as_deref().is_none_or(|named| named == ALL || named == id);
    let mut told = Ok(());
    if common.json {
        for (id, one) in room.seen.iter().filter(|(id, _)| wanted(id)) {
            told = say(&status::entry(&room.seen, id, one).to_string());
        }
    } else if room.seen.iter().next().is_none() {
        note(&format!("{} knows of no instance", room.uri));
    } else {
        told = say(&status::list(&room.seen, wanted));
    }
    room.broker.close().await;
    told
}

async fn ask(common: &Common, command: &Command, limit: Duration) -> Result<(), Failure> {
    // What is wrong with it is told before anything is connected; and standard input can be read once only.
    let Some(mut request) = requests::of(command, None)? else { return Ok(()) };
    let mut room = Room::enter(common, limit, &[]).await?;
    let taker = requests::taker(command);
    if matches!(command, Command::Cameras { action: Some(_) }) && common.id.as_deref() == Some(ALL) {
        return Err(Failure::Usage(
            "a camera is added to one daemon or removed from one: --id all is not for that".into(),
        ));
    }
    let target = room.seen.choose(common.id.as_deref(), taker, &room.uri)?;
    // What kind of value a key has shows in those that are in force.
    let now = target.ids().first().and_then(|id| room.seen.config(id));
    if matches!(command, Command::UpdateConfig { .. })
        && let Some(better) = requests::of(command, now)?
    {
        request = better;
    }
    let answers = room.ask(&target, &request, &mut |_, _| {}).await;
    room.broker.close().await;
    tell(common, command, &answers)
}

fn tell(common: &Common, command: &Command, answers: &[Answer]) -> Result<(), Failure> {
    for answer in answers {
        if common.json {
            say(&text::json(answer))?;
        }
        match &answer.outcome {
            Ok(_) if answer.is_good() && common.json => {}
            Ok(ack) if answer.is_good() => say(&match (command, &ack.data) {
                (Command::Status, Some(data)) => status::page(&answer.id, data),
                (Command::Cameras { action: None }, Some(data)) => status::cameras(data),
                (Command::Raw { .. }, _) => text::json(answer),
                _ => done(answer),
            })?,
            Ok(ack) => note(&format!("{}: {}", answer.id, ack.error.as_deref().unwrap_or("refused, without a reason"))),
            Err(why) => note(&format!("{}: {why}", answer.id)),
        }
    }
    match answers.iter().map(Answer::code).max() {
        Some(0) | None => Ok(()),
        Some(code) => Err(Failure::Told(code)),
    }
}
