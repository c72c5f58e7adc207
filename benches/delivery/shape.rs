//! The shapes of traffic that are measured, and what each may cost.

/// Notifications without an answer at any time, the floor's too.
pub const IN_FLIGHT: usize = 500;
/// The apps of the shape with many.
pub const APPS: usize = 100;
/// The lanes of the app that has several.
pub const LANES: usize = 2;
/// The shape that the many apps are compared with.
pub const ONE_APP: &str = "batch-100";

/// A row of the table.
#[derive(Debug)]
pub struct Shape {
    pub name: &'static str,
    pub title: &'static str,
    pub form: Form,
    pub apps: Apps,
    /// Requests at one time.
    pub callers: usize,
    /// It sends one in so many of a round's notifications, to take no longer than the others.
    pub one_in: usize,
    pub target: Option<Target>,
}

/// The form of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// One object.
    Single,
    /// A list of so many.
    Batch(usize),
    /// One payload to so many.
    FanOut(usize),
    /// NDJSON, one request for all, written in pieces of this number of lines.
    Lines(usize),
}

impl Form {
    /// Notifications in a request, or in a piece of one.
    pub fn notifications(self) -> usize {
        match self {
            Self::Single => 1,
            Self::Batch(count) | Self::FanOut(count) | Self::Lines(count) => count,
        }
    }
}

/// The owner of the notifications.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Apps {
    Certificate,
    SigningKey,
    /// [`APPS`] with certificates, in turn.
    Many,
    /// One with a certificate and [`LANES`].
    Lanes,
    /// One with a certificate, whose owner is another node than the one that callers speak to.
    Forwarded,
}

/// The most that the daemon's CPU for a notification may be.
#[derive(Debug, Clone, Copy)]
pub enum Target {
    TimesFloor(f64),
    /// Times what another shape takes in the same run, by its name.
    Times(&'static str, f64),
}

impl Shape {
    const fn new(name: &'static str, title: &'static str, form: Form, callers: usize, times_floor: f64) -> Self {
        let target = Some(Target::TimesFloor(times_floor));
        Self { name, title, form, apps: Apps::Certificate, callers, one_in: 1, target }
    }

    const fn one_in(self, one_in: usize) -> Self {
        Self { one_in, ..self }
    }

    const fn of(self, apps: Apps, target: Option<Target>) -> Self {
        Self { apps, target, ..self }
    }

    /// As many whole requests of every caller as make about the wanted notifications.
    pub fn requests_per_caller(&self, notifications: usize) -> usize {
        (notifications / self.one_in / self.form.notifications() / self.callers).max(1)
    }
}

/// In the order of the table. Durable acceptance joins it when it is there.
pub const SHAPES: &[Shape] = &[
    Shape::new("single-1", "single POST, 1 connection", Form::Single, 1, 0.0).one_in(20).of(Apps::Certificate, None),
    Shape::new("single-64", "single POST, 64 connections", Form::Single, 64, 2.5).one_in(4),
    Shape::new("batch-10", "batches of 10", Form::Batch(10), IN_FLIGHT / 10, 0.7),
    Shape::new(ONE_APP, "batches of 100", Form::Batch(100), IN_FLIGHT / 100, 0.4),
    Shape::new("lanes-2", "one app of 2 lanes, batches of 100", Form::Batch(100), IN_FLIGHT / 100, 0.0)
        .of(Apps::Lanes, None),
    Shape::new("batch-1000", "batches of 1,000", Form::Batch(1000), 1, 0.4),
    Shape::new("lines", "NDJSON stream", Form::Lines(100), 1, 0.4),
    Shape::new("fan-out-1000", "one payload to 1,000", Form::FanOut(1000), 1, 0.3),
    Shape::new("apps-100", "100 apps, batches of 100 in turn", Form::Batch(100), IN_FLIGHT / 100, 0.0)
        .of(Apps::Many, Some(Target::Times(ONE_APP, 1.3))),
    Shape::new("key-100", "signing key, batches of 100", Form::Batch(100), IN_FLIGHT / 100, 0.0)
        .of(Apps::SigningKey, None),
    Shape::new("forwarded-1", "forwarded, single POST, 64 connections, both nodes", Form::Single, 64, 0.0)
        .one_in(4)
        .of(Apps::Forwarded, Some(Target::Times("single-64", 2.0))),
    Shape::new("forwarded-100", "forwarded, batches of 100, both nodes", Form::Batch(100), IN_FLIGHT / 100, 0.0)
        .of(Apps::Forwarded, Some(Target::Times(ONE_APP, 1.5))),
];
