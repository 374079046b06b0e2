// SPDX-License-Identifier: MPL-2.0
//! A message's body, as a worker in Rust reads it.

use orion_core::{
    framing::PREFIX,
    wire::{Command, FrameMessage, FrameStart, HostMessage, Payload, command_message},
};

pub(crate) fn run(data: &[u8]) {
    match HostMessage::decode(data) {
        Ok(HostMessage::Frame(frame)) => accepted(&frame),
        Ok(HostMessage::Command(command)) => commanded(command),
        Err(error) => assert!(error.to_string().len() > 10, "{error}"),
    }
}

fn accepted(frame: &FrameMessage<'_>) {
    if let Some(roi) = &frame.meta.roi_processing {
        roi.attention_rois.iter().chain(&roi.merged_roi).for_each(super::assert_valid);
    }
    let start = FrameStart::new(frame.format, frame.width, frame.height, &frame.meta).expect("it can be written");
    let written = match frame.picture {
        Payload::Inline(picture) => [&start.inline(picture.len()).expect("it can be written"), picture].concat(),
        Payload::Shared(place) => start.shared(place).expect("it can be written"),
    };
    let again = HostMessage::decode(&written[PREFIX..]).expect("what is written can be read");
    assert_eq!(again, HostMessage::Frame(frame.clone()));
}

fn commanded(command: Command) {
    let written = command_message(&command).expect("it can be written");
    let again = HostMessage::decode(&written[PREFIX..]).expect("what is written can be read");
    assert_eq!(again, HostMessage::Command(command));
}
