mock_provider "google" {
  override_during = plan
}

variables {
  name            = "tandem-dev-gateway"
  region          = "asia-southeast1"
  image           = "asia-southeast1-docker.pkg.dev/acme-dev-1/tandem/gateway@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
  service_account = "tandem-dev-gateway@acme-dev-1.iam.gserviceaccount.com"
  exposure        = "public"
  billing         = "instance"
  max_instances   = 10
  probes          = { port = 9090 }
  egress          = { network = "n", subnetwork = "s" }
  env             = { TANDEM__HTTP__BIND = "0.0.0.0:8080" }
  secrets         = { OPENAI_API_KEY = { secret = "tandem-dev-openai", version = "3" } }
}

run "a_public_service_has_one_door" {
  command = plan
  assert {
    condition     = google_cloud_run_v2_service.main.ingress == "INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER" && google_cloud_run_v2_service.main.default_uri_disabled
    error_message = "Nobody gets round the load balancer, its limits and its firewall by a run.app address."
  }
  assert {
    condition     = length(google_cloud_run_v2_service_iam_member.invoker) == 0 && google_cloud_run_v2_service.main.invoker_iam_disabled
    error_message = "No binding of allUsers is needed."
  }
}

run "an_inner_service_is_called_by_those_it_names" {
  command = plan
  variables {
    exposure = "internal"
    invokers = { gateway = "serviceAccount:g@acme-dev-1.iam.gserviceaccount.com" }
  }
  assert {
    condition     = google_cloud_run_v2_service.main.ingress == "INGRESS_TRAFFIC_INTERNAL_ONLY" && !google_cloud_run_v2_service.main.invoker_iam_disabled
    error_message = "Inner services are reached through the network only, by callers that prove who they are."
  }
  assert {
    condition     = google_cloud_run_v2_service_iam_member.invoker["gateway"].role == "roles/run.invoker"
    error_message = "The caller may call, nothing else."
  }
}

run "billed_by_instance_the_cpu_is_always_there" {
  command = plan
  assert {
    condition     = google_cloud_run_v2_service.main.template[0].containers[0].resources[0].cpu_idle == false
    error_message = "cpu_idle = true would take the CPU away between requests."
  }
}

run "billed_by_request_the_cpu_goes_between_requests" {
  command = plan
  variables {
    billing = "request"
  }
  assert {
    condition     = google_cloud_run_v2_service.main.template[0].containers[0].resources[0].cpu_idle == true
    error_message = "Whoever pays by request gets CPU by request."
  }
}

run "a_start_may_take_the_minute_that_the_network_takes" {
  command = plan
  assert {
    condition     = google_cloud_run_v2_service.main.template[0].containers[0].startup_probe[0].period_seconds * google_cloud_run_v2_service.main.template[0].containers[0].startup_probe[0].failure_threshold >= 120
    error_message = "Direct VPC egress may need a minute for its first connection."
  }
  assert {
    condition     = google_cloud_run_v2_service.main.template[0].containers[0].liveness_probe[0].http_get[0].path == "/livez" && google_cloud_run_v2_service.main.template[0].containers[0].liveness_probe[0].timeout_seconds == 5
    error_message = "Liveness depends on nothing else."
  }
}

run "streams_may_run_for_an_hour" {
  command = plan
  assert {
    condition     = google_cloud_run_v2_service.main.template[0].timeout == "3600s"
    error_message = "The longest stream that Cloud Run allows."
  }
}

run "the_proxy_to_the_database_starts_first" {
  command = plan
  variables {
    database_proxy = { image = "gcr.io/cloud-sql-connectors/cloud-sql-proxy@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", args = ["--private-ip", "p:r:i"] }
  }
  assert {
    condition     = contains(google_cloud_run_v2_service.main.template[0].containers[0].depends_on, "database-proxy") && length(google_cloud_run_v2_service.main.template[0].containers) == 2
    error_message = "The service waits until the proxy is there."
  }
}

run "a_collector_beside_it_sends_what_it_measures" {
  command = plan
  variables {
    collector_image = "r/collector@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
  }
  assert {
    condition     = google_cloud_run_v2_service.main.template[0].containers[1].name == "collector" && strcontains(one(google_cloud_run_v2_service.main.template[0].containers[1].env[*].value), "127.0.0.1:4317")
    error_message = "The collector takes what the service sends."
  }
}

run "a_tag_of_the_collector_is_refused" {
  command = plan
  variables {
    collector_image = "r/collector:latest"
  }
  expect_failures = [var.collector_image]
}

run "direct_egress_uses_a_subnet_and_a_connector_is_a_switch" {
  command = plan
  variables {
    egress = { network = "n", connector = "c" }
  }
  assert {
    condition     = google_cloud_run_v2_service.main.template[0].vpc_access[0].connector == "c" && length(google_cloud_run_v2_service.main.template[0].vpc_access[0].network_interfaces) == 0
    error_message = "One or the other."
  }
}

run "calls_between_services_go_through_the_network" {
  command = plan
  assert {
    condition     = google_cloud_run_v2_service.main.template[0].vpc_access[0].egress == "ALL_TRAFFIC"
    error_message = "A call that leaves directly is refused by internal ingress."
  }
}

run "a_gpu_has_its_cpu_and_memory" {
  command = plan
  variables {
    gpu        = "nvidia-l4"
    vcpus      = 4
    memory_mib = 16384
  }
  assert {
    condition     = google_cloud_run_v2_service.main.template[0].node_selector[0].accelerator == "nvidia-l4" && google_cloud_run_v2_service.main.template[0].containers[0].resources[0].limits["nvidia.com/gpu"] == "1"
    error_message = "The instance has the GPU."
  }
}

run "a_gpu_billed_by_request_is_refused" {
  command = plan
  variables {
    gpu        = "nvidia-l4"
    billing    = "request"
    vcpus      = 4
    memory_mib = 16384
  }
  expect_failures = [var.billing]
}

run "a_gpu_that_the_region_lacks_is_refused" {
  command = plan
  variables {
    region     = "asia-south1"
    gpu        = "nvidia-l4"
    vcpus      = 4
    memory_mib = 16384
  }
  expect_failures = [var.gpu]
}

run "a_gpu_with_too_little_beside_it_is_refused" {
  command = plan
  variables {
    gpu = "nvidia-l4"
  }
  expect_failures = [var.gpu]
}

run "a_tag_is_refused" {
  command = plan
  variables {
    image = "vllm/vllm-openai:latest"
  }
  expect_failures = [var.image]
}

run "a_tag_of_the_proxy_is_refused" {
  command = plan
  variables {
    database_proxy = { image = "gcr.io/cloud-sql-connectors/cloud-sql-proxy:2", args = [] }
  }
  expect_failures = [var.database_proxy]
}

run "the_default_account_is_refused" {
  command = plan
  variables {
    service_account = "123456789012-compute@developer.gserviceaccount.com"
  }
  expect_failures = [var.service_account]
}

run "everybody_as_invoker_is_refused" {
  command = plan
  variables {
    exposure = "internal"
    invokers = { all = "allUsers" }
  }
  expect_failures = [var.invokers]
}

run "invokers_of_a_public_service_are_refused" {
  command = plan
  variables {
    invokers = { gateway = "serviceAccount:g@acme-dev-1.iam.gserviceaccount.com" }
  }
  expect_failures = [var.invokers]
}

run "more_than_a_thousand_at_once_are_refused" {
  command = plan
  variables {
    concurrency = 1001
  }
  expect_failures = [var.concurrency]
}

run "five_minutes_for_a_stream_are_refused" {
  command = plan
  variables {
    timeout_seconds = 300
  }
  expect_failures = [var.timeout_seconds]
}

run "memory_that_the_vcpus_can_not_have_is_refused" {
  command = plan
  variables {
    vcpus      = 1
    memory_mib = 8192
  }
  expect_failures = [var.memory_mib]
}

run "three_vcpus_are_refused" {
  command = plan
  variables {
    vcpus = 3
  }
  expect_failures = [var.vcpus]
}

run "latest_of_a_secret_is_refused" {
  command = plan
  variables {
    secrets = { OPENAI_API_KEY = { secret = "tandem-dev-openai", version = "latest" } }
  }
  expect_failures = [var.secrets]
}

run "a_secret_in_plain_sight_is_refused" {
  command = plan
  variables {
    env = { TANDEM__ORCHESTRATOR__SECRET = "hunter2" }
  }
  expect_failures = [var.env]
}

run "more_instances_at_least_than_at_most_are_refused" {
  command = plan
  variables {
    min_instances = 20
  }
  expect_failures = [var.min_instances]
}

run "too_many_instances_are_refused" {
  command = plan
  variables {
    max_instances = 5000
  }
  expect_failures = [var.max_instances]
}

run "liveness_that_needs_the_database_is_refused" {
  command = plan
  variables {
    probes = { port = 9090, live = "/readyz" }
  }
  expect_failures = [var.probes]
}

run "two_ways_into_the_network_are_refused" {
  command = plan
  variables {
    egress = { network = "n", subnetwork = "s", connector = "c" }
  }
  expect_failures = [var.egress]
}

run "an_unknown_exposure_is_refused" {
  command = plan
  variables {
    exposure = "all"
  }
  expect_failures = [var.exposure]
}

run "an_unknown_billing_is_refused" {
  command = plan
  variables {
    billing = "free"
  }
  expect_failures = [var.billing]
}

run "an_unknown_gpu_is_refused" {
  command = plan
  variables {
    gpu = "nvidia-h100-80gb"
  }
  expect_failures = [var.gpu]
}

run "an_unknown_egress_is_refused" {
  command = plan
  variables {
    egress_traffic = "NONE"
  }
  expect_failures = [var.egress_traffic]
}

run "a_name_with_capitals_is_refused" {
  command = plan
  variables {
    name = "Gateway"
  }
  expect_failures = [var.name]
}
