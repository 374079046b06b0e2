// SPDX-License-Identifier: MPL-2.0
//! Menus for people: an instance, then what to change about it.

mod change;
mod choices;
mod gauge;

use std::time::Duration;

use crossterm::{cursor, execute, style, terminal};
use inquire::{Confirm, CustomType, InquireError, Select, Text, validator::Validation};
use orion_core::{command::Command as Wire, status::Status};
use serde_json::Value;
use tokio::{
    signal::unix::{SignalKind, signal},
    time::Instant,
};

use self::{
    choices::{Choice, Item, choice},
    gauge::Gauge,
};
use crate::{
    asking::Room,
    cli::{Common, is_rate},
    failure::Failure,
    out::{self, line, say},
    requests,
    sightings::Taker,
    status,
    words::{self, ALL},
};

/// Seconds for a question, and for a change.
const QUESTION: f64 = 10.0;
const CHANGE: f64 = 60.0;

/// Shows menus until somebody quits, or the process is asked to end (SIGTERM).
pub(crate) async fn run(common: &Common) -> Result<(), Failure> {
    let mut asked = signal(SignalKind::terminate()).map_err(|error| out::failed(&error))?;
    tokio::select! {
        done = menus(common) => done,
        _ = asked.recv() => {
            // A prompt has the terminal as it needs it, and its thread cannot be stopped. Without a terminal there is nothing to do.
            let _ = terminal::disable_raw_mode();
            let _ = execute!(std::io::stderr(), cursor::Show, style::Print("\r\n"));
            Err(Failure::Terminated)
        }
    }
}

async fn menus(common: &Common) -> Result<(), Failure> {
    let everybody = Common { id: None, ..common.clone() };
    let mut room = Room::enter(&everybody, seconds(common, QUESTION), &["presence"]).await?;
    let mut named = common.id.clone().filter(|id| id != ALL);
    loop {
        let Some(id) = instance(&mut room, named.take()).await? else { break };
        let topic = format!("inferences/{id}/+");
        room.broker.listen(std::slice::from_ref(&topic));
        let another = Menu { room: &mut room, common, id }.show().await?;
        room.broker.ignore(&topic);
        if !another {
            break;
        }
    }
    room.broker.close().await;
    Ok(())
}

fn seconds(common: &Common, usual: f64) -> Duration {
    Duration::from_secs_f64(common.timeout.unwrap_or(usual))
}

/// Who it is about; none = nobody.
async fn instance(room: &mut Room, named: Option<String>) -> Result<Option<String>, Failure> {
    let mut ids = room.seen.online(Taker::Camera);
    if let Some(id) = named {
        room.seen.choose(Some(&id), Taker::Camera, &room.uri)?;
        let cameras = room.seen.cameras(&id);
        match cameras.is_empty() {
            true => return Ok(Some(id)),
            // A daemon of several is set camera by camera.
            false => ids.retain(|id| cameras.contains(&id.as_str())),
        }
    }
    if ids.len() < 2 {
        return match ids.pop_first() {
            Some(id) => Ok(Some(id)),
            None => room.seen.choose(None, Taker::Camera, &room.uri).map(|_| None),
        };
    }
    let of = |id: String| {
        let one = room.seen.get(&id);
        let about = |key: fn(&crate::sightings::Sighting) -> Option<&Value>, tell: fn(&Value) -> String| {
            one.and_then(key).map(tell).unwrap_or_default()
        };
        let (looks, seen) =
            (about(|one| one.state.as_ref(), status::looks), about(|one| one.presence.as_ref(), status::presence));
        choice(format!("{id}  {looks}  {seen}").trim_end().to_owned(), id)
    };
    let choices: Vec<_> = ids.into_iter().map(of).collect();
    select(room, "Which instance?", choices).await
}

/// Waits for a person, and hears what there is to hear meanwhile; none = Esc.
async fn prompt<T: Send + 'static>(
    room: &mut Room,
    ask: impl FnOnce() -> Result<T, InquireError> + Send + 'static,
) -> Result<Option<T>, Failure> {
    let mut asking = tokio::task::spawn_blocking(ask);
    let told = loop {
        let far = Instant::now() + Duration::from_secs(3600);
        tokio::select! {
            told = &mut asking => break told,
            news = room.broker.next(far) => {
                news.and_then(|news| room.note(news));
            }
        }
    };
    match told {
        Ok(Ok(value)) => Ok(Some(value)),
        Ok(Err(InquireError::OperationCanceled)) => Ok(None),
        Ok(Err(InquireError::OperationInterrupted)) => Err(Failure::Interrupted),
        Ok(Err(error)) => Err(Failure::Usage(format!("the terminal cannot be used: {error}"))),
        Err(error) => Err(Failure::Usage(format!("the menu has ended: {error}"))),
    }
}

async fn select<T: Send + 'static>(
    room: &mut Room,
    title: &str,
    choices: Vec<Choice<T>>,
) -> Result<Option<T>, Failure> {
    let title = title.to_owned();
    let page = choices.len().min(12);
    let chosen = prompt(room, move || {
        Select::new(&title, choices)
            .with_page_size(page)
            .with_help_message("arrows and Enter, or type to search; Esc goes back, Ctrl-C ends")
            .prompt()
    });
    Ok(chosen.await?.map(|choice| choice.value))
}

/// What can be done with one instance.
struct Menu<'a> {
    room: &'a mut Room,
    common: &'a Common,
    id: String,
}

impl Menu<'_> {
    /// Whether another instance is wanted.
    async fn show(&mut self) -> Result<bool, Failure> {
        loop {
            if let Some(gone @ (Status::Offline | Status::Stopped)) = self.room.seen.status(&self.id) {
                say(&format!("{} is {}.", self.id, gone.as_str()))?;
            }
            if let Some(why) = &self.room.trouble {
                say(&format!("No connection: {}", line(why)))?;
            }
            let several = self.room.seen.online(Taker::Camera).len() > 1;
            let items = choices::items(&self.state(), several);
            let title = format!("{}:", self.id);
            let Some(item) = select(self.room, &title, items).await? else { return Ok(several) };
            match item {
                Item::Quit => return Ok(false),
                Item::Another => return Ok(true),
                Item::Status => self.status().await?,
                item => {
                    if let Some(command) = self.command(item).await? {
                        self.change(command).await?;
                    }
                }
            }
        }
    }

    fn state(&self) -> Value {
        self.room.seen.get(&self.id).and_then(|one| one.state.clone()).unwrap_or_default()
    }

    /// What `get_status` answers; none = nothing, which is told.
    async fn data(&mut self) -> Result<Option<Value>, Failure> {
        if self.room.trouble.is_some() {
            return Ok(None);
        }
        let limit = seconds(self.common, QUESTION);
        let mut gauge = Gauge::new(&self.id);
        let answer = change::ask(self.room, &self.id, Wire::GetStatus, limit, &mut gauge).await?;
        match answer.outcome {
            Ok(ack) => Ok(ack.data),
            Err(why) => say(&format!("{}: {}", self.id, line(&why))).map(|()| None),
        }
    }

    async fn status(&mut self) -> Result<(), Failure> {
        match self.data().await? {
            Some(data) => say(&status::page(&self.id, &data)),
            None => Ok(()),
        }
    }

    /// What is to be sent; none = nothing, since somebody went back.
    async fn command(&mut self, item: Item) -> Result<Option<Wire>, Failure> {
        Ok(match item {
            Item::Model => {
                let data = self.data().await?;
                if self.state()["config"]["models"]["person_detector"]["detector"] == "motion" {
                    say("The detector is motion, which uses no model: a size counts only when that is changed.")?;
                }
                say("Work is the arithmetic of YOLO11 models, by their publisher's figures; other families differ.")?;
                let now = crate::text::word(&self.state()["config"]["models"]["person_detector"]["size"]);
                select(self.room, "Model size:", choices::sizes(&now, data.as_ref())).await?.map(choices::set_model)
            }
            Item::Rate => match select(self.room, "Rate:", choices::rates()).await? {
                Some(Some(rate)) => Some(choices::set_rate(rate)),
                Some(None) => self.any_rate().await?.map(choices::set_rate),
                None => None,
            },
            Item::Regions => self.regions().await?,
            Item::Focus => {
                let mode = select(self.room, "Focus:", choices::focuses()).await?;
                mode.map(|mode| requests::focus(mode, &crate::cli::Tuning::default()))
            }
            Item::Pause => Some(Wire::PauseInference),
            Item::Resume => Some(Wire::ResumeInference),
            Item::Restart => {
                let workers = choices::workers(self.data().await?.as_ref());
                select(self.room, "Which worker?", workers).await?.map(choices::restart)
            }
            Item::Status | Item::Another | Item::Quit => None,
        })
    }

    async fn any_rate(&mut self) -> Result<Option<f64>, Failure> {
        let ask = || {
            CustomType::<f64>::new("Looks a second (0.1..30 Hz):")
                .with_error_message("expected a number")
                .with_validator(|rate: &f64| {
                    Ok(match is_rate(*rate) {
                        true => Validation::Valid,
                        false => Validation::Invalid("expected 0.1..30 Hz".into()),
                    })
                })
                .prompt()
        };
        prompt(self.room, ask).await
    }

    async fn regions(&mut self) -> Result<Option<Wire>, Failure> {
        let choices = vec![choice("Enter regions ...", false), choice("Clear: the whole frame", true)];
        match select(self.room, "Regions:", choices).await? {
            None => return Ok(None),
            Some(true) => return Ok(Some(choices::set_regions(Vec::new()))),
            Some(false) => {}
        }
        let ask = || {
            Text::new("x,y,width,height as fractions, several with spaces between:")
                .with_placeholder("0.1,0.2,0.5,0.5")
                .with_validator(|text: &str| {
                    Ok(match words::regions(text) {
                        Ok(regions) if regions.is_empty() => Validation::Invalid("expected a region".into()),
                        Ok(_) => Validation::Valid,
                        Err(error) => Validation::Invalid(error.into()),
                    })
                })
                .prompt()
        };
        let text = prompt(self.room, ask).await?;
        text.map(|text| words::regions(&text).map(choices::set_regions).map_err(Failure::Usage)).transpose()
    }

    async fn change(&mut self, command: Wire) -> Result<(), Failure> {
        if self.room.trouble.is_some() {
            // Which the menu tells.
            return Ok(());
        }
        say(choices::expected(&command))?;
        let sure = prompt(self.room, || Confirm::new("Do it?").with_default(true).prompt()).await?;
        if sure != Some(true) {
            return Ok(());
        }
        say("... the results around the change are being measured ...")?;
        let limit = seconds(self.common, CHANGE);
        let text = change::carry_out(self.room, &self.id, command, limit).await?;
        forget_keys();
        text.lines().try_for_each(|text| say(&line(text)))
    }
}

/// What was typed while a change was under way was not meant for the next menu.
fn forget_keys() {
    if crossterm::terminal::enable_raw_mode().is_ok() {
        while crossterm::event::poll(Duration::ZERO).unwrap_or(false) && crossterm::event::read().is_ok() {}
        // The next prompt sets the terminal itself.
        let _ = crossterm::terminal::disable_raw_mode();
    }
}
