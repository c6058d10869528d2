//! What the images and containers are allowed to be.

use crate::{
    stack::{SERVICES, Stack, inspect},
    tests,
};
use serde_json::{Value, json};

/// Everything that runs, ours or not.
const ALL: [&str; 10] = [
    "gateway-1",
    "gateway-2",
    "orchestrator",
    "worker-1",
    "worker-2",
    "simulator-1",
    "simulator-2",
    "migrate",
    "postgres",
    "rabbitmq",
];

tests! {
    containers_may_do_little,
    nothing_is_published_beyond_loopback,
    migrations_came_first_and_once,
    images_say_what_they_are,
}

async fn containers_may_do_little(stack: &Stack) {
    for service in ALL {
        let container = stack.inspect(service);
        let host = &container["HostConfig"];
        assert_eq!(host["ReadonlyRootfs"], true, "{service}");
        assert_eq!(host["CapDrop"], json!(["ALL"]), "{service}");
        assert_eq!(host["Privileged"], false, "{service}");
        assert!(
            host["SecurityOpt"][0].as_str().is_some_and(|option| option.starts_with("no-new-privileges")),
            "{service}"
        );
        assert!(host["Memory"].as_u64() > Some(0) && host["NanoCpus"].as_u64() > Some(0), "{service} has limits");
        let user = container["Config"]["User"].as_str().unwrap();
        assert!(!["", "0", "root", "0:0"].contains(&user), "{service} runs as {user:?}");
    }
}

async fn nothing_is_published_beyond_loopback(stack: &Stack) {
    let mut published = 0;
    for service in ALL {
        let bindings = stack.inspect(service)["HostConfig"]["PortBindings"].clone();
        for binding in
            bindings.as_object().into_iter().flat_map(|ports| ports.values()).flat_map(|port| port.as_array().unwrap())
        {
            assert_eq!(binding["HostIp"], "127.0.0.1", "{service}");
            published += 1;
        }
    }
    assert_eq!(published, 2, "the gateways, and nothing else");
}

async fn migrations_came_first_and_once(stack: &Stack) {
    let migrate = &stack.inspect("migrate")["State"];
    assert_eq!((&migrate["Status"], &migrate["ExitCode"]), (&json!("exited"), &json!(0)));
    let ended = migrate["FinishedAt"].as_str().unwrap().to_owned();
    for (service, _) in SERVICES.iter().filter(|(service, _)| *service != "orchestrator") {
        let began = stack.inspect(service)["State"]["StartedAt"].as_str().unwrap().to_owned();
        // Both are RFC 3339 in UTC.
        assert!(ended < began, "{service} began at {began}, the migration ended at {ended}");
    }
}

async fn images_say_what_they_are(stack: &Stack) {
    for (service, _) in SERVICES {
        let image = stack.inspect(service)["Image"].as_str().unwrap().to_owned();
        let image: Value = inspect(&["image", "inspect", &image]);
        let labels = &image["Config"]["Labels"];
        for label in ["title", "description", "version", "revision", "licenses"] {
            let value = labels[format!("org.opencontainers.image.{label}")].as_str();
            assert!(value.is_some_and(|value| !value.is_empty()), "{service} has no {label}: {labels}");
        }
        assert!(image["Config"]["Healthcheck"]["Test"].is_array(), "{service} has no health check");
        println!("{service}: {} MB", image["Size"].as_u64().unwrap() / 1_000_000);
    }
}
