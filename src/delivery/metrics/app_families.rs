//! The metrics per app, read at each collection.

use super::apps::{AppSeries, AppTable, labels, labels_of_others};
use crate::delivery::status::StatusBoard;
use crate::model::Environment;
use crate::telemetry::metrics::APP_LABEL;
use prometheus::core::{Collector, Desc};
use prometheus::proto::{Counter, Gauge, LabelPair, Metric, MetricFamily, MetricType};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

const ENVIRONMENT: &str = "environment";

/// The metrics per app.
pub struct AppFamilies {
    apps: Arc<AppTable>,
    board: Arc<StatusBoard>,
    outcomes: Desc,
    rejections: Desc,
    seconds: Desc,
    in_flight: Desc,
    queue: Desc,
    state: Desc,
}

/// The gauges of one app, or the sums over all others of an environment.
#[derive(Default)]
struct Gauges {
    in_flight: usize,
    queued: usize,
    states: BTreeMap<&'static str, usize>,
}

impl AppFamilies {
    pub fn new(apps: Arc<AppTable>, board: Arc<StatusBoard>) -> Self {
        let desc = |name: &str, help: &str, last: Option<&str>| {
            let labels = [Some(APP_LABEL), Some(ENVIRONMENT), last].into_iter().flatten().map(str::to_owned);
            Desc::new(format!("pyapns_app_{name}"), help.to_owned(), labels.collect(), HashMap::new())
                .expect("names and labels are constants of the program")
        };
        Self {
            apps,
            board,
            outcomes: desc("notifications_total", "Notifications of an app that ended, by outcome.", Some("outcome")),
            rejections: desc(
                "rejections_total",
                "Notifications of an app that were not accepted, by the reason in Apple's last answer.",
                Some("reason"),
            ),
            seconds: desc("notification_seconds", "From taking a notification of an app to its outcome.", None),
            in_flight: desc("in_flight", "Requests to Apple for an app without an answer yet, from this node.", None),
            queue: desc("queue", "Notifications of an app that wait in this node to be sent.", None),
            state: desc(
                "state",
                "Apps that this node sends for, by state; 1 for the state of an app with series of its own.",
                Some("state"),
            ),
        }
    }

    fn descs(&self) -> [&Desc; 6] {
        [&self.outcomes, &self.rejections, &self.seconds, &self.in_flight, &self.queue, &self.state]
    }

    /// The gauges by label values.
    fn gauges(&self) -> HashMap<[String; 2], Gauges> {
        let mut gauges: HashMap<_, Gauges> = HashMap::new();
        let mut others = [const { None }; Environment::ALL.len()];
        for (app, status) in self.board.running() {
            let of_app = match self.apps.is_named(&app) {
                true => gauges.entry(labels(&app)).or_default(),
                false => others[app.environment as usize].get_or_insert_with(Gauges::default),
            };
            of_app.in_flight += status.in_flight;
            of_app.queued += status.queued;
            *of_app.states.entry(status.state).or_default() += 1;
        }
        for (environment, others) in Environment::ALL.into_iter().zip(others) {
            gauges.extend(others.map(|others| (labels_of_others(environment), others)));
        }
        gauges
    }
}

impl Collector for AppFamilies {
    fn desc(&self) -> Vec<&Desc> {
        self.descs().into()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let (all, gauges) = (self.apps.all(), self.gauges());
        let counters = |desc: &Desc, read: fn(&AppSeries) -> Vec<(&'static str, u64)>| {
            let of_app = |(labels, series): &([String; 2], Arc<AppSeries>)| {
                let counts = read(series).into_iter();
                counts.map(|(last, count)| counter(desc, labels, last, count)).collect::<Vec<_>>()
            };
            family(desc, MetricType::COUNTER, all.iter().flat_map(of_app).collect())
        };
        let seconds = all.iter().filter_map(|(labels, series)| {
            let mut metric = metric(&self.seconds, labels, None);
            metric.set_histogram(series.seconds()?.histogram());
            Some(metric)
        });
        let gauge_of = |desc: &Desc, value: fn(&Gauges) -> usize| {
            let gauges = gauges.iter().map(|(labels, gauges)| gauge(desc, labels, None, value(gauges)));
            family(desc, MetricType::GAUGE, gauges.collect())
        };
        let states = gauges.iter().flat_map(|(labels, gauges)| {
            gauges.states.iter().map(|(state, apps)| gauge(&self.state, labels, Some(state), *apps))
        });
        vec![
            counters(&self.outcomes, |series| series.outcomes().collect()),
            counters(&self.rejections, |series| series.rejections().collect()),
            family(&self.seconds, MetricType::HISTOGRAM, seconds.collect()),
            gauge_of(&self.in_flight, |gauges| gauges.in_flight),
            gauge_of(&self.queue, |gauges| gauges.queued),
            family(&self.state, MetricType::GAUGE, states.collect()),
        ]
    }
}

fn family(desc: &Desc, kind: MetricType, metrics: Vec<Metric>) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(desc.fq_name.clone());
    family.set_help(desc.help.clone());
    family.set_field_type(kind);
    family.set_metric(metrics);
    family
}

fn metric(desc: &Desc, labels: &[String; 2], last: Option<&str>) -> Metric {
    let pair = |(name, value): (&String, &str)| {
        let mut pair = LabelPair::default();
        pair.set_name(name.clone());
        pair.set_value(value.to_owned());
        pair
    };
    let values = labels.iter().map(String::as_str).chain(last);
    let mut metric = Metric::default();
    metric.set_label(desc.variable_labels.iter().zip(values).map(pair).collect());
    metric
}

fn counter(desc: &Desc, labels: &[String; 2], last: &str, count: u64) -> Metric {
    let mut counter = Counter::default();
    counter.set_value(count as f64);
    let mut metric = metric(desc, labels, Some(last));
    metric.set_counter(counter);
    metric
}

fn gauge(desc: &Desc, labels: &[String; 2], last: Option<&str>, value: usize) -> Metric {
    let mut gauge = Gauge::default();
    gauge.set_value(value as f64);
    let mut metric = metric(desc, labels, last);
    metric.set_gauge(gauge);
    metric
}
