// SPDX-License-Identifier: MPL-2.0
//! Properties, pads and signals of the elements, as GStreamer shows them.

use gst::{glib, prelude::*};

use crate::markdown::{code, codes, head, table};

/// With their action signals: these cannot be listed, so that one that is missing here is found by `gst-inspect-1.0` only.
const ELEMENTS: [(&str, &[&str]); 3] =
    [("orionroi", &["clear-history"]), ("orionpyinfer", &["restart-worker", "swap-model"]), ("orionmqttsink", &[])];

const ABOUT: &str = "\
Properties as `gst-inspect-1.0` shows them. *Changes*: `playing` = at any time, in force with the next frame unless the text says
otherwise; `ready` = in the states NULL and READY. Times are nanoseconds, as everywhere in GStreamer. The fields of `stats` and the
messages on the bus are described in the documentation of the modules (`cargo doc -p gst-orion`), and the pipelines for which these
elements are made in [media-stack.md](../media-stack.md).";

/// The page.
pub fn page() -> String {
    gst::init().unwrap();
    // Registering twice is refused, and nothing is lost by it.
    gstorion::plugin_register_static().unwrap();
    let mut text = head("Elements", ABOUT);
    for (name, signals) in ELEMENTS {
        let factory = gst::ElementFactory::find(name).unwrap();
        let of = |key: &str| factory.metadata(key).unwrap_or_default().to_owned();
        text += &format!("\n## {name}\n\n{}. Class `{}`.\n\n", of("description"), of("klass"));
        text += &pads(&factory);
        let element = factory.create().build().unwrap();
        text += &properties(&element);
        text += &actions(&element, signals);
    }
    text
}

fn pads(factory: &gst::ElementFactory) -> String {
    let list = factory.static_pad_templates();
    let mut templates: Vec<_> = list.iter().collect();
    templates
        .sort_by_key(|template| (template.direction() == gst::PadDirection::Src, template.name_template().to_owned()));
    let row = |template: &gst::StaticPadTemplate| {
        let caps = template.caps();
        let media = if caps.is_any() {
            vec!["ANY".to_owned()]
        } else {
            let named = caps.iter().map(|structure| match structure.value("format") {
                Ok(_) => format!("{}, format={}", structure.name(), formats(structure)),
                Err(_) => structure.name().to_string(),
            });
            named.collect()
        };
        vec![code(template.name_template()), codes(media)]
    };
    let rows: Vec<_> = templates.into_iter().map(row).collect();
    format!("{}\n", table(&["pad", "caps"], &rows))
}

fn formats(structure: &gst::StructureRef) -> String {
    match structure.get::<gst::List>("format") {
        Ok(list) => {
            let names: Vec<_> = list.iter().filter_map(|one| one.get::<String>().ok()).collect();
            format!("{{{}}}", names.join(", "))
        }
        Err(_) => structure.get::<String>("format").unwrap_or_default(),
    }
}

fn properties(element: &gst::Element) -> String {
    let specs = element.list_properties();
    let own = specs.iter().filter(|spec| spec.owner_type() == element.type_() && !is_an_override(spec));
    let rows: Vec<_> = own
        .map(|spec| {
            let (default, range) = (default(spec), range(spec));
            vec![code(spec.name()), kind(spec), range, default.clone(), changes(spec), meaning(spec, &default)]
        })
        .collect();
    assert!(rows.len() > 10);
    table(&["property", "type", "values", "default", "changes", "meaning"], &rows)
}

/// Whether another class has described it.
fn is_an_override(spec: &glib::ParamSpec) -> bool {
    spec.type_().name() == "GParamOverride"
}

fn kind(spec: &glib::ParamSpec) -> String {
    let value = spec.value_type();
    match value.name() {
        "gchararray" => "text".to_owned(),
        "gboolean" => "boolean".to_owned(),
        "guint" => "uint".to_owned(),
        "gint" => "int".to_owned(),
        "guint64" => "uint64".to_owned(),
        "gdouble" => "double".to_owned(),
        "GstStructure" => "structure".to_owned(),
        _ if value.is_a(glib::Type::ENUM) => "enum".to_owned(),
        other => panic!("{}: type {other}", spec.name()),
    }
}

/// What it may be, where that is less than all of its type.
fn range(spec: &glib::ParamSpec) -> String {
    let between = |least: String, most: String, no_most: bool| match (least.as_str(), no_most) {
        ("0", true) => String::new(),
        (least, true) => format!("from {least}"),
        (least, false) => format!("{least}..{most}"),
    };
    if let Some(spec) = spec.downcast_ref::<glib::ParamSpecUInt>() {
        return between(spec.minimum().to_string(), spec.maximum().to_string(), spec.maximum() == u32::MAX);
    }
    if let Some(spec) = spec.downcast_ref::<glib::ParamSpecUInt64>() {
        return between(spec.minimum().to_string(), spec.maximum().to_string(), spec.maximum() == u64::MAX);
    }
    if let Some(spec) = spec.downcast_ref::<glib::ParamSpecInt>() {
        return between(spec.minimum().to_string(), spec.maximum().to_string(), spec.maximum() == i32::MAX);
    }
    if let Some(spec) = spec.downcast_ref::<glib::ParamSpecDouble>() {
        return between(spec.minimum().to_string(), spec.maximum().to_string(), spec.maximum() == f64::MAX);
    }
    values(spec).iter().map(|(nick, _)| code(nick)).collect::<Vec<_>>().join(", ")
}

/// The words of an enumeration, and what they mean.
fn values(spec: &glib::ParamSpec) -> Vec<(String, String)> {
    let class = glib::EnumClass::with_type(spec.value_type());
    let values = class.as_ref().map(glib::EnumClass::values).unwrap_or_default();
    values.iter().map(|value| (value.nick().to_owned(), value.name().to_owned())).collect()
}

fn default(spec: &glib::ParamSpec) -> String {
    let value = spec.default_value();
    if let Some((_, one)) = glib::EnumValue::from_value(value) {
        return code(one.nick());
    }
    match value.get::<Option<String>>() {
        Ok(text) => match text.as_deref() {
            None | Some("") => "empty".to_owned(),
            Some(text) => code(text),
        },
        Err(_) if spec.value_type() == gst::Structure::static_type() => String::new(),
        Err(_) => {
            let text = value.transform::<String>().unwrap().get::<String>().unwrap();
            // GLib writes six digits after the point.
            let is_fraction = text.contains('.');
            let short = if is_fraction { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
            code(&short.to_lowercase())
        }
    }
}

fn changes(spec: &glib::ParamSpec) -> String {
    let flags = spec.flags();
    if !flags.contains(glib::ParamFlags::WRITABLE) {
        return "read-only".to_owned();
    }
    let [ready, playing] = [gst::PARAM_FLAG_MUTABLE_READY, gst::PARAM_FLAG_MUTABLE_PLAYING];
    assert!(flags.intersects(ready | playing), "{} does not say when it may change", spec.name());
    if flags.contains(playing) { "playing".to_owned() } else { "ready".to_owned() }
}

/// The blurb without the default that it repeats, which has to be the true one, and what the values mean.
fn meaning(spec: &glib::ParamSpec, default: &str) -> String {
    let blurb = spec.blurb().unwrap_or_default();
    assert!(!blurb.is_empty() && !blurb.ends_with('.'), "{}: {blurb:?}", spec.name());
    let default = default.trim_matches('`');
    let text = match blurb.rsplit_once(" (default: ") {
        Some((text, told)) => {
            let told = told.strip_suffix(')').unwrap_or_else(|| panic!("{}: {blurb}", spec.name()));
            let is_it =
                told == default || told.starts_with(&format!("{default} ")) || told.starts_with(&format!("{default};"));
            assert!(is_it, "{}: the default is {default:?}, its blurb says {told:?}", spec.name());
            let more = told.strip_prefix(default).unwrap_or_default().trim_start_matches([';', ' ', '=']).trim();
            if more.is_empty() { text.to_owned() } else { format!("{text} (default: {told})") }
        }
        None => {
            assert!(spec.name() == "stats", "{}: its blurb says no default: {blurb:?}", spec.name());
            blurb.to_owned()
        }
    };
    let words = values(spec);
    let told = words.iter().map(|(nick, name)| format!("`{nick}`: {name}")).collect::<Vec<_>>().join("; ");
    if words.iter().all(|(nick, name)| nick == name) { text } else { format!("{text}. {told}") }
}

fn actions(element: &gst::Element, signals: &[&str]) -> String {
    let row = |name: &&str| {
        let query = glib::subclass::SignalId::lookup(name, element.type_()).unwrap().query();
        let kinds: Vec<_> = query.param_types().iter().map(|kind| word(kind.type_())).collect();
        vec![code(name), kinds.join(", "), word(query.return_type().type_())]
    };
    let rows: Vec<_> = signals.iter().map(row).collect();
    if rows.is_empty() { String::new() } else { format!("\n{}", table(&["action signal", "takes", "gives"], &rows)) }
}

fn word(kind: glib::Type) -> String {
    match kind.name() {
        "gchararray" => "text",
        "gboolean" => "boolean",
        "void" => "",
        other => panic!("type {other}"),
    }
    .to_owned()
}
