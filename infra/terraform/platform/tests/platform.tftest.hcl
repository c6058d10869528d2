mock_provider "google" {
  override_during = plan

  mock_data "google_project" {
    defaults = { number = "123456789012" }
  }
  mock_resource "google_service_account" {
    defaults = {
      name   = "projects/acme-dev-1/serviceAccounts/tandem-x@acme-dev-1.iam.gserviceaccount.com"
      email  = "tandem-x@acme-dev-1.iam.gserviceaccount.com"
      member = "serviceAccount:tandem-x@acme-dev-1.iam.gserviceaccount.com"
    }
  }
  mock_resource "google_compute_network" {
    defaults = { id = "projects/acme-dev-1/global/networks/tandem-dev" }
  }
  mock_resource "google_compute_subnetwork" {
    defaults = { id = "projects/acme-dev-1/regions/r/subnetworks/s" }
  }
  mock_resource "google_cloud_run_v2_service" {
    defaults = { uri = "https://tandem-dev-orchestrator-x.a.run.app" }
  }
  mock_resource "google_sql_database_instance" {
    defaults = { connection_name = "acme-dev-1:asia-south1:tandem-dev" }
  }
  mock_resource "google_pubsub_topic" {
    defaults = { id = "projects/acme-dev-1/topics/t" }
  }
  mock_resource "google_pubsub_schema" {
    defaults = { id = "projects/acme-dev-1/schemas/s" }
  }
  mock_resource "google_pubsub_subscription" {
    defaults = { id = "projects/acme-dev-1/subscriptions/s" }
  }
  mock_resource "google_secret_manager_secret" {
    defaults = { id = "projects/acme-dev-1/secrets/s" }
  }
  mock_resource "google_monitoring_slo" {
    defaults = { id = "projects/1/services/s/serviceLevelObjectives/availability" }
  }
  mock_resource "google_monitoring_uptime_check_config" {
    defaults = { uptime_check_id = "api" }
  }
  mock_resource "google_monitoring_notification_channel" {
    defaults = { id = "projects/acme-dev-1/notificationChannels/1" }
  }
  mock_resource "google_certificate_manager_dns_authorization" {
    defaults = { dns_resource_record = [{ name = "_acme-challenge.ai.example.com.", type = "CNAME", data = "x." }] }
  }
}

variables {
  project_id  = "acme-dev-1"
  environment = "dev"
  regions     = { asia-south1 = { cidr = "10.16.0.0/12" } }
  images = {
    gateway        = "r/gateway@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
    orchestrator   = "r/orchestrator@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
    migrate        = "r/tandem@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
    database_proxy = "r/proxy@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
    console        = "r/console@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
    collector      = "r/collector@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
  }
  database      = { vcpus = 2, memory_mib = 7680, max_connections = 500, highly_available = false }
  domains       = ["ai.example.com"]
  catalog_file  = "envs/dev.models.toml.tftpl"
  provider_keys = { VLLM_API_KEY = "1", OPENAI_API_KEY = "2" }
  gateway       = { billing = "instance", min_instances = 1 }
  models = {
    chat = { region = "asia-south1", model = "llama-3.1-8b", machine_type = "g2-standard-8", gpu_count = 1, format = "bf16", max_model_len = 16384 }
  }
}

run "one_region_is_planned_whole" {
  command = plan
  assert {
    condition     = output.models["chat"].accelerator == "nvidia-l4" && output.models["chat"].vllm_args["max-model-len"] == "16384"
    error_message = "The pods of a model are told what was checked."
  }
  assert {
    condition     = output.clusters.models["asia-south1"].services_domain == "svc.models-asia-south1.tandem-dev.internal"
    error_message = "The catalog and the cluster agree on names."
  }
}

run "the_catalog_names_the_published_pods" {
  command = plan
  assert {
    condition     = output.models["chat"].endpoint == "http://vllm-chat.models.svc.models-asia-south1.tandem-dev.internal:8000/v1" && strcontains(google_storage_bucket_object.catalog["asia-south1"].content, output.models["chat"].endpoint)
    error_message = "A plain service name would only be known inside the cluster."
  }
}

run "workers_know_where_everything_is" {
  command = plan
  assert {
    condition     = output.workers["asia-south1"].env["TANDEM__DATA__DATABASE_URL"] == "postgres://tandem-dev-worker%40acme-dev-1.iam@127.0.0.1:5432/tandem?sslmode=disable"
    error_message = "The database is reached through the proxy, without a password."
  }
  assert {
    condition     = output.workers["asia-south1"].env["TANDEM__EVENTS__USAGE_TOPIC"] == "projects/acme-dev-1/topics/tandem-dev-usage-events"
    error_message = "Usage of batches goes to the topic: ${output.workers["asia-south1"].env["TANDEM__EVENTS__USAGE_TOPIC"]}"
  }
  assert {
    condition     = output.workers["asia-south1"].env["TANDEM__DOORBELL__KIND"] == "pubsub" && output.workers["asia-south1"].env["TANDEM__DOORBELL__PUBSUB__SUBSCRIPTION"] == "projects/acme-dev-1/subscriptions/tandem-dev-doorbell"
    error_message = "Workers listen to the subscription."
  }
  assert {
    condition     = output.workers["asia-south1"].env["TANDEM__ORCHESTRATOR__AUDIENCE"] == "https://orchestrator.tandem-dev"
    error_message = "Tokens are made out for the orchestrator."
  }
}

run "two_regions_are_two_instances_of_the_same_modules" {
  command = plan
  variables {
    regions  = { asia-south1 = { cidr = "10.16.0.0/12" }, europe-west4 = { cidr = "10.32.0.0/12" } }
    database = { vcpus = 4, memory_mib = 15360, max_connections = 1000, highly_available = true }
    models = {
      chat    = { region = "asia-south1", model = "llama-3.1-8b", machine_type = "g2-standard-8", gpu_count = 1, format = "bf16", max_model_len = 16384 }
      chat-eu = { region = "europe-west4", model = "llama-3.1-8b", machine_type = "g2-standard-8", gpu_count = 1, format = "bf16", max_model_len = 16384 }
    }
  }
  assert {
    condition     = length(module.gateway) == 2 && length(module.orchestrator) == 2 && length(module.cluster_models) == 2 && length(module.cluster_workers) == 2
    error_message = "Each region has everything."
  }
  assert {
    condition     = strcontains(google_storage_bucket_object.catalog["europe-west4"].content, "svc.models-europe-west4.tandem-dev.internal")
    error_message = "Each region's catalog names its own pods."
  }
  assert {
    condition     = output.connection_budget.needed == 2 * 10 * 16 + 2 * 8 * 16 + 16
    error_message = "Both regions count, not ${output.connection_budget.needed}."
  }
}

run "a_region_may_have_no_gpus" {
  command = plan
  variables {
    regions = { asia-south1 = { cidr = "10.16.0.0/12", models = false } }
    models  = {}
  }
  assert {
    condition     = length(output.clusters.models) == 0
    error_message = "Managed models need no cluster."
  }
}

run "more_processes_than_connections_are_refused" {
  command = plan
  variables {
    gateway = { max_instances = 40 }
  }
  expect_failures = [output.connection_budget, check.room_for_a_rollout]
}

run "a_rollout_that_asks_for_too_many_connections_is_told" {
  command = plan
  variables {
    gateway = { max_instances = 16 }
    workers = { max_replicas = 8 }
  }
  expect_failures = [check.room_for_a_rollout]
}

run "a_model_that_nobody_would_wake_is_told" {
  command = plan
  variables {
    images = {
      gateway        = "r/gateway@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
      orchestrator   = "r/orchestrator@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
      migrate        = "r/tandem@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
      database_proxy = "r/proxy@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
    }
  }
  expect_failures = [check.what_sleeps_can_be_woken]
}

run "a_backlog_that_nobody_measures_is_told" {
  command = plan
  variables {
    environment = "stage"
    gateway     = { billing = "request", min_instances = 1 }
  }
  expect_failures = [check.the_backlog_is_measured]
}

run "two_regions_that_lean_on_one_are_told" {
  command = plan
  variables {
    regions  = { asia-south1 = { cidr = "10.16.0.0/12" }, europe-west4 = { cidr = "10.32.0.0/12", models = false } }
    database = { vcpus = 4, memory_mib = 15360, max_connections = 1000, highly_available = true }
  }
  expect_failures = [check.a_second_region_can_serve_alone]
}

run "the_connection_budget_counts_what_the_code_opens" {
  command = plan
  assert {
    condition     = tonumber(regex("POSTGRES_CONNECTIONS: u32 = ([0-9]+);", file("${path.root}/../../../crates/store/src/store.rs"))[0]) == local.connections_per_process
    error_message = "crates/store opens another number of connections than the budget counts."
  }
}

run "a_key_of_the_catalog_without_a_secret_is_refused" {
  command = plan
  variables {
    provider_keys = {}
  }
  expect_failures = [google_storage_bucket_object.catalog]
}

run "a_tag_is_refused" {
  command = plan
  variables {
    images = {
      gateway        = "r/gateway:latest"
      orchestrator   = "r/orchestrator@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
      migrate        = "r/tandem@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
      database_proxy = "r/proxy@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
    }
  }
  expect_failures = [var.images]
}

run "unprotected_production_is_refused" {
  command = plan
  variables {
    environment          = "prod"
    webhooks_key_version = "1"
    protected            = false
    database             = { vcpus = 2, memory_mib = 7680, max_connections = 500, highly_available = true }
    alert_emails         = { oncall = "oncall@example.com" }
  }
  expect_failures = [var.protected]
}

run "production_without_a_standby_is_refused" {
  command = plan
  variables {
    environment          = "prod"
    webhooks_key_version = "1"
    alert_emails         = { oncall = "oncall@example.com" }
  }
  expect_failures = [var.database]
}

run "production_that_tells_nobody_is_refused" {
  command = plan
  variables {
    environment          = "prod"
    webhooks_key_version = "1"
    database             = { vcpus = 2, memory_mib = 7680, max_connections = 500, highly_available = true }
  }
  expect_failures = [var.alert_emails]
}

run "plain_signing_secrets_in_production_are_refused" {
  command = plan
  variables {
    environment  = "prod"
    database     = { vcpus = 2, memory_mib = 7680, max_connections = 500, highly_available = true }
    alert_emails = { oncall = "oncall@example.com" }
  }
  expect_failures = [var.webhooks_key_version]
}

run "a_key_of_before_that_is_the_key_of_now_is_refused" {
  command = plan
  variables {
    webhooks_key_version     = "1"
    webhooks_old_key_version = "1"
  }
  expect_failures = [var.webhooks_old_key_version]
}

run "both_keys_of_webhooks_reach_workers_while_they_change" {
  command = plan
  variables {
    webhooks_key_version     = "2"
    webhooks_old_key_version = "1"
  }
  assert {
    condition     = output.workers["asia-south1"].secrets["TANDEM__WEBHOOKS__OLD_SECRET_KEYS"].version == "1" && output.workers["asia-south1"].secrets["TANDEM__WEBHOOKS__SECRET_KEY"].version == "2"
    error_message = "What the old key encrypted could not be read."
  }
}

run "a_primary_region_that_is_no_region_is_refused" {
  command = plan
  variables {
    primary_region = "us-central1"
  }
  expect_failures = [var.primary_region]
}

run "no_region_is_refused" {
  command = plan
  variables {
    regions = {}
    models  = {}
  }
  expect_failures = [var.regions]
}

run "an_unknown_environment_is_refused" {
  command = plan
  variables {
    environment = "test"
  }
  expect_failures = [var.environment]
}

run "a_long_prefix_is_refused" {
  command = plan
  variables {
    prefix = "our-ai-platform"
  }
  expect_failures = [var.prefix]
}

run "a_project_number_is_no_project_id" {
  command = plan
  variables {
    project_id = "123456789012"
  }
  expect_failures = [var.project_id]
}

run "a_model_where_there_is_no_cluster_is_refused" {
  command = plan
  variables {
    regions = { asia-south1 = { cidr = "10.16.0.0/12", models = false } }
  }
  expect_failures = [var.models]
}

run "no_replicas_at_most_are_refused" {
  command = plan
  variables {
    models = { chat = { region = "asia-south1", model = "llama-3.1-8b", machine_type = "g2-standard-8", gpu_count = 1, format = "bf16", max_model_len = 16384, max_replicas = 0 } }
  }
  expect_failures = [var.models]
}

run "a_model_is_named_as_its_service" {
  command = plan
  variables {
    models = { "llama-3.1" = { region = "asia-south1", model = "llama-3.1-8b", machine_type = "g2-standard-8", gpu_count = 1, format = "bf16", max_model_len = 16384 } }
  }
  expect_failures = [var.models]
}

run "an_argument_that_the_platform_decides_is_refused" {
  command = plan
  variables {
    models = { chat = { region = "asia-south1", model = "llama-3.1-8b", machine_type = "g2-standard-8", gpu_count = 1, format = "bf16", max_model_len = 16384, vllm_args = { max-model-len = "131072" } } }
  }
  expect_failures = [var.models]
}

run "an_orchestrator_that_sleeps_is_refused" {
  command = plan
  variables {
    orchestrator = { min_instances = 0 }
  }
  expect_failures = [var.orchestrator]
}

run "no_workers_at_most_are_refused" {
  command = plan
  variables {
    workers = { max_replicas = 0 }
  }
  expect_failures = [var.workers]
}

run "a_catalog_that_is_not_there_is_refused" {
  command = plan
  variables {
    catalog_file = "envs/nowhere.toml"
  }
  expect_failures = [var.catalog_file]
}

run "settings_that_are_not_there_are_refused" {
  command = plan
  variables {
    gateway = { settings_file = "envs/nowhere.toml" }
  }
  expect_failures = [var.gateway]
}

run "an_unknown_doorbell_is_refused" {
  command = plan
  variables {
    doorbell = "kafka"
  }
  expect_failures = [var.doorbell]
}

run "jobs_come_as_messages" {
  command = plan
  variables {
    submissions = {
      senders   = { etl = "serviceAccount:etl@acme-dev-1.iam.gserviceaccount.com" }
      listeners = { audit = "serviceAccount:audit@acme-dev-1.iam.gserviceaccount.com" }
      replies   = { etl = "serviceAccount:etl@acme-dev-1.iam.gserviceaccount.com" }
      buckets   = ["acme-nightly"]
    }
  }
  assert {
    condition     = output.workers["asia-south1"].env["TANDEM__SUBMISSIONS__KIND"] == "pubsub" && output.workers["asia-south1"].env["TANDEM__SUBMISSIONS__PUBSUB__SUBSCRIPTION"] == "projects/acme-dev-1/subscriptions/tandem-dev-submissions"
    error_message = "Workers take jobs from the subscription."
  }
  assert {
    condition     = output.workers["asia-south1"].env["TANDEM__SUBMISSIONS__PUBSUB__DEAD_LETTER_TOPIC"] == "projects/acme-dev-1/topics/tandem-dev-submissions-dead" && output.workers["asia-south1"].env["TANDEM__SUBMISSIONS__IMPORTS__BUCKETS"] == "acme-nightly"
    error_message = "Workers know where refused jobs go, and which buckets inputs come from."
  }
  assert {
    condition     = output.workers["asia-south1"].env["TANDEM__EVENTS__BATCH_TOPIC"] == "projects/acme-dev-1/topics/tandem-dev-batch-events" && output.workers["asia-south1"].env["TANDEM__EVENTS__REPLY_TOPICS"] == "projects/acme-dev-1/topics/tandem-dev-reply-etl"
    error_message = "Events go to a topic of their own, and answers to those listed."
  }
  assert {
    condition     = google_storage_bucket_iam_member.job_inputs["acme-nightly"].role == "roles/storage.objectViewer"
    error_message = "Workers read inputs."
  }
}

run "a_bucket_is_named_without_its_scheme" {
  command = plan
  variables {
    submissions = { senders = {}, buckets = ["gs://acme-nightly"] }
  }
  expect_failures = [var.submissions]
}

run "a_reply_is_named_as_a_topic" {
  command = plan
  variables {
    submissions = { senders = {}, replies = { "ETL answers" = "serviceAccount:etl@acme-dev-1.iam.gserviceaccount.com" } }
  }
  expect_failures = [var.submissions]
}

run "a_key_is_named_as_in_the_environment" {
  command = plan
  variables {
    provider_keys = { VLLM_API_KEY = "1", "openai" = "1" }
  }
  expect_failures = [var.provider_keys]
}

run "every_switch_turned" {
  command = plan
  variables {
    serverless_egress    = "connector"
    doorbell             = "rabbitmq"
    webhooks_key_version = "1"
    nat_addresses        = 2
    budget               = { billing_account = "012345-6789AB-CDEF01", amount = 500 }
    alert_emails         = { oncall = "oncall@example.com" }
    dns_zone             = "example-com"
    database             = { engine = "alloydb", postgres_version = 16, vcpus = 2, memory_mib = 7680, max_connections = 500, highly_available = true }
    secret_locations     = ["asia-south1"]
    edge                 = { admin_cidrs = ["203.0.113.0/24"], firewall_enforces = true }
  }
  assert {
    condition     = contains(keys(output.workers["asia-south1"].secrets), "TANDEM__WEBHOOKS__SECRET_KEY") && contains(keys(output.secrets), "rabbitmq") && !contains(keys(output.workers["asia-south1"].env), "TANDEM__DOORBELL__PUBSUB__TOPIC")
    error_message = "RabbitMQ's address is a secret."
  }
}
