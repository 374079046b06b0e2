// SPDX-License-Identifier: MPL-2.0

use super::*;

const STALL: Duration = Duration::from_secs(2);
const EVEN: f64 = 0.5;

fn s(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

fn streaming() -> Camera {
    let mut camera = Camera::new(STALL, s(0.0));
    assert_eq!(camera.on(Input::Frame, s(0.5), EVEN), [], "nothing was lost");
    camera
}

fn lost(cause: LossCause, detail: &str, attempt: u32) -> Action {
    Action::Lost { cause, detail: detail.into(), attempt }
}

fn refused() -> Input {
    Input::Failed(LossCause::Refused, "no".into())
}

/// Looks until something is to be done; when, and what.
fn until(camera: &mut Camera, mut now: f64) -> (f64, Vec<Action>) {
    loop {
        now += 0.1;
        let actions = camera.on(Input::Tick, s(now), EVEN);
        if !actions.is_empty() {
            return (now, actions);
        }
    }
}

fn about(got: f64, expected: f64) {
    assert!((got - expected).abs() < 0.15, "{got} instead of {expected}");
}

#[test]
fn an_end_is_told_once_and_connected_again_after_a_pause() {
    let mut camera = streaming();
    let told = [Action::TearDown, lost(LossCause::Lost, "the stream ended", 0)];
    assert_eq!(camera.on(Input::Ended, s(20.0), EVEN), told);
    assert_eq!(camera.on(Input::Ended, s(20.1), EVEN), [], "it is over already");
    let (at, actions) = until(&mut camera, 20.1);
    about(at, 21.0);
    assert_eq!(actions, [Action::Connect]);
    assert_eq!(camera.on(Input::Frame, s(21.5), EVEN), [Action::Restored { after: s(1.5) }]);
    assert_eq!(camera.state(), State::Streaming);
}

#[test]
fn silence_is_a_loss_unless_one_slept_oneself() {
    let mut camera = streaming();
    let (at, actions) = until(&mut camera, 0.5);
    about(at, 2.5);
    assert_eq!(actions[1], lost(LossCause::Stalled, "no frame for 2 s", 0));

    let mut camera = streaming();
    camera.on(Input::Tick, s(0.6), EVEN);
    assert_eq!(camera.on(Input::Tick, s(60.0), EVEN), []);
    let (at, _) = until(&mut camera, 60.0);
    about(at, 62.0);
}

#[test]
fn another_cause_is_told_again_the_same_is_not() {
    let mut camera = streaming();
    camera.on(Input::Ended, s(20.0), EVEN);
    let mut now = 20.0;
    let mut told = Vec::new();
    for cause in [LossCause::Refused, LossCause::Refused, LossCause::Unauthorised, LossCause::NotFound] {
        now = until(&mut camera, now).0;
        let actions = camera.on(Input::Failed(cause, "x".into()), s(now), EVEN);
        told.extend(actions.into_iter().filter(|action| *action != Action::TearDown));
    }
    let expected =
        [lost(LossCause::Refused, "x", 1), lost(LossCause::Unauthorised, "x", 3), lost(LossCause::NotFound, "x", 4)];
    assert_eq!(told, expected);
}

#[test]
fn pauses_double_up_to_a_bound_and_start_over_after_a_stream_that_held() {
    let mut camera = Camera::new(STALL, s(0.0));
    let mut now = 0.0;
    for pause in [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0] {
        camera.on(refused(), s(now), EVEN);
        let (at, actions) = until(&mut camera, now);
        assert_eq!(actions, [Action::Connect]);
        about(at - now, pause);
        now = at;
    }
    camera.on(Input::Frame, s(now), EVEN);
    camera.on(Input::Ended, s(now + 1.0), EVEN);
    let (at, _) = until(&mut camera, now + 1.0);
    about(at - now, 31.0);
    camera.on(Input::Frame, s(at), EVEN);
    camera.on(Input::Frame, s(at + 10.0), EVEN);
    camera.on(Input::Ended, s(at + 10.0), EVEN);
    about(until(&mut camera, at + 10.0).0 - at, 11.0);
}

#[test]
fn chance_changes_a_pause_by_a_fifth() {
    for (chance, pause) in [(0.0, 0.8), (1.0, 1.2), (7.0, 1.2)] {
        let mut camera = streaming();
        camera.on(Input::Ended, s(20.0), chance);
        about(until(&mut camera, 20.0).0, 20.0 + pause);
    }
}

#[test]
fn a_connection_without_picture_is_given_up() {
    let mut camera = Camera::new(STALL, s(0.0));
    camera.on(Input::Packets, s(3.0), EVEN);
    let (at, actions) = until(&mut camera, 3.0);
    about(at, 13.0);
    assert_eq!(actions, [Action::TearDown, lost(LossCause::Stalled, "no frame within 10 s", 1)]);
}

#[test]
fn a_camera_that_answers_again_is_connected_at_once() {
    let mut camera = Camera::new(STALL, s(0.0));
    let mut now = 0.0;
    for _ in 0..6 {
        camera.on(refused(), s(now), EVEN);
        now = until(&mut camera, now).0;
    }
    camera.on(refused(), s(now), EVEN);
    assert_eq!(camera.on(Input::Answered(false), s(now + 5.0), EVEN), []);
    assert_eq!(camera.on(Input::Answered(true), s(now + 6.0), EVEN), [Action::Connect]);
    camera.on(Input::Frame, s(now + 6.5), EVEN);
    assert_eq!(camera.state(), State::Streaming);
}

#[test]
fn not_sooner_than_a_second_after_the_last_attempt() {
    let mut camera = Camera::new(STALL, s(0.0));
    camera.on(refused(), s(0.1), 1.0);
    assert_eq!(camera.on(Input::Answered(true), s(0.2), EVEN), []);
    about(until(&mut camera, 0.2).0, 1.0);
}

#[test]
fn one_that_answers_but_does_not_stream_is_not_hammered() {
    let mut camera = Camera::new(STALL, s(0.0));
    let (mut now, mut attempts) = (0.0, 0);
    camera.on(refused(), s(now), EVEN);
    let mut tried = false;
    while now < 120.0 || !tried {
        now += 0.5;
        let mut actions = camera.on(Input::Answered(true), s(now), EVEN);
        actions.extend(camera.on(Input::Tick, s(now), EVEN));
        tried = actions.contains(&Action::Connect);
        if tried {
            attempts += 1;
            camera.on(refused(), s(now), EVEN);
        }
    }
    assert!((5..=9).contains(&attempts), "{attempts}");
    // Once it was away, its answer counts again.
    camera.on(Input::Answered(false), s(now + 1.0), EVEN);
    assert_eq!(camera.on(Input::Answered(true), s(now + 2.0), EVEN), [Action::Connect]);
}

#[test]
fn one_whose_stream_never_holds_is_not_hammered() {
    let mut camera = streaming();
    let (mut now, mut attempts) = (0.5, 0);
    camera.on(Input::Ended, s(now), EVEN);
    while now < 120.0 {
        now += 0.5;
        let mut actions = camera.on(Input::Answered(true), s(now), EVEN);
        actions.extend(camera.on(Input::Tick, s(now), EVEN));
        if actions.contains(&Action::Connect) {
            attempts += 1;
            camera.on(Input::Frame, s(now + 0.1), EVEN);
            camera.on(Input::Ended, s(now + 0.2), EVEN);
        }
    }
    assert!((5..=9).contains(&attempts), "{attempts}");
}

#[test]
fn a_wrong_password_is_tried_again_when_the_camera_was_away() {
    let mut camera = streaming();
    camera.on(Input::Ended, s(20.0), EVEN);
    let mut now = 20.0;
    for _ in 0..4 {
        now = until(&mut camera, now).0;
        camera.on(Input::Failed(LossCause::Unauthorised, String::new()), s(now), EVEN);
    }
    assert_eq!(camera.on(Input::Answered(true), s(now + 2.0), EVEN), [], "of course it answers");
    camera.on(Input::Answered(false), s(now + 3.0), EVEN);
    assert_eq!(camera.on(Input::Answered(true), s(now + 4.0), EVEN), [Action::Connect]);
}

#[test]
fn other_settings_are_tried_at_once_and_tell_nothing_by_themselves() {
    let mut camera = streaming();
    assert_eq!(camera.on(Input::Renew, s(5.0), EVEN), [Action::TearDown, Action::Connect]);
    assert_eq!(camera.on(Input::Frame, s(5.5), EVEN), []);
    camera.on(Input::Ended, s(6.0), EVEN);
    assert_eq!(camera.on(Input::Renew, s(6.1), EVEN), [Action::Connect]);
    assert_eq!(camera.on(Input::Frame, s(6.5), EVEN), [Action::Restored { after: s(0.5) }]);
}

#[test]
fn names_are_the_same_everywhere() {
    use LossCause::{Lost, NotFound, Refused, Stalled, Unauthorised, WrongCodec};
    for cause in [Lost, Stalled, Refused, Unauthorised, NotFound, WrongCodec] {
        assert_eq!(serde_json::to_value(cause).unwrap(), cause.as_str());
    }
}
