// SPDX-License-Identifier: MPL-2.0
//! What the elements of a group have agreed on: what is changed on one of them is changed on all, and taken back on all.

use std::time::Duration;

use gst::{glib, prelude::*, subclass::prelude::*};
use serde_json::Value;

use super::{
    OrionPyInfer,
    crew::Order,
    group::Group,
    imp::CAT,
    report::Who,
    settings::{SHARED, Settings},
    tuning::Setting,
};
use crate::properties::lock;

/// What the workers are made by and told of.
pub(super) struct Terms {
    /// As it was asked for last.
    pub(super) wanted: Settings,
    /// As those at work have it.
    pub(super) in_force: Settings,
}

impl Group {
    /// What an element asks for: a property changed by it, and workers replaced (`force`: even if nothing has changed);
    /// false = it has left.
    ///
    /// # Errors
    /// A text that names the property and the remedy: no workers can be made of that; nothing has changed then.
    pub(super) fn swap(
        &self,
        id: u64,
        change: Option<(&str, &glib::Value)>,
        force: bool,
        why: String,
    ) -> Result<bool, String> {
        self.agree(id, change, |wanted, in_force| wanted.wish(in_force, force, why).map(Order::Swap))
    }

    /// A setting that running workers are told of.
    pub(super) fn tune(&self, id: u64, setting: Setting, value: &glib::Value) {
        let order = |wanted: &Settings, _: &Settings| Ok(Order::Tune(setting, wanted.tuned(setting)));
        // It cannot fail.
        let _ = self.agree(id, Some((setting.property(), value)), order);
    }

    /// How long a frame may take was changed by one of the elements: the longest of theirs holds for workers that they share.
    pub(super) fn set_frame_timeout(&self) {
        // Under the lock of what is ordered, so that the newest is ordered last.
        let _terms = lock(&self.terms);
        let longest = self.elements().iter().map(|element| lock(&element.imp().settings).frame_timeout).max();
        if let (Some(longest), Some(pool)) = (longest, &*lock(&self.pool)) {
            pool.order(Order::FrameTimeout(Duration::from_nanos(longest)));
        }
    }

    fn agree(
        &self,
        id: u64,
        change: Option<(&str, &glib::Value)>,
        order: impl FnOnce(&Settings, &Settings) -> Result<Order, String>,
    ) -> Result<bool, String> {
        let mut elements = Vec::new();
        let mut changed = Vec::new();
        {
            // What is asked for last is also what is ordered last, and what all of them read.
            let mut terms = lock(&self.terms);
            elements.extend(
                self.roster(|roster| roster.peers.iter().map(|p| (p.id, p.element.upgrade())).collect::<Vec<_>>()),
            );
            let Some((_, own)) = elements.iter().find(|(other, _)| *other == id) else { return Ok(false) };
            let mut wanted = terms.wanted.clone();
            if let (Some(own), true) = (own, self.name.is_empty()) {
                // The limits of an element alone are its own.
                wanted = lock(&own.imp().settings).clone();
                SHARED.into_iter().for_each(|name| wanted.set(name, &terms.wanted.get(name)));
            }
            if let Some((name, value)) = change {
                wanted.set(name, value);
            }
            let order = order(&wanted, &terms.in_force)?;
            terms.wanted = wanted;
            for (other, element) in &elements {
                let (Some((name, _)), Some(element)) = (change, element) else { continue };
                let mut settings = lock(&element.imp().settings);
                if !settings.has_same(&terms.wanted, name) {
                    settings.set(name, &terms.wanted.get(name));
                    // GObject tells of the first one itself.
                    changed.extend((*other != id).then_some((element, name)));
                }
            }
            if let Some(pool) = &*lock(&self.pool) {
                pool.order(order);
            }
        }
        changed.into_iter().for_each(|(element, name)| element.notify(name));
        Ok(true)
    }

    /// A worker has taken a setting.
    pub(super) fn accepted(&self, who: Who, setting: Setting, value: &Value) {
        let mut elements = Vec::new();
        {
            let mut terms = lock(&self.terms);
            terms.in_force.set_tuned(setting, value);
            elements.extend(self.elements());
            elements.iter().for_each(|element| lock(&element.imp().in_force).set_tuned(setting, value));
        }
        elements.iter().for_each(|element| element.imp().post_setting(who, setting, None));
        gst::info!(CAT, "worker {}: {} is {value} now", who.index, setting.property());
    }

    /// A worker has not taken a setting: it is taken back everywhere.
    pub(super) fn refused(&self, who: Who, setting: Setting, value: &Value, error: &str) {
        let name = setting.property();
        let mut elements: Vec<(OrionPyInfer, bool)> = Vec::new();
        {
            let mut terms = lock(&self.terms);
            let present = terms.in_force.tuned(setting);
            // Something newer may have been asked for meanwhile.
            if terms.wanted.tuned(setting) == *value {
                terms.wanted.set_tuned(setting, &present);
            }
            for element in self.elements() {
                let mut settings = lock(&element.imp().settings);
                let reverted = settings.tuned(setting) == *value;
                if reverted {
                    settings.set_tuned(setting, &present);
                }
                drop(settings);
                elements.push((element, reverted));
            }
        }
        for (element, reverted) in elements {
            gst::element_imp_warning!(
                element.imp(),
                gst::LibraryError::Settings,
                ("{name}: worker {} refused it: {error}; the value before stays in force", who.index)
            );
            element.imp().post_setting(who, setting, Some(error));
            if reverted {
                element.notify(name);
            }
        }
    }

    /// Takes back what was refused; the elements, each with the properties that are different now.
    pub(super) fn take_back(&self, refused: &Settings) -> Vec<(OrionPyInfer, Vec<&'static str>)> {
        let mut changed = Vec::new();
        let mut terms = lock(&self.terms);
        let in_force = terms.in_force.clone();
        terms.wanted.take_back(refused, &in_force);
        for element in self.elements() {
            let names = lock(&element.imp().settings).take_back(refused, &in_force);
            changed.push((element, names));
        }
        drop(terms);
        changed
    }
}
