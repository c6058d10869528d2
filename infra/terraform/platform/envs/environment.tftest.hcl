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

# With -var-file=envs/NAME.tfvars: what is in that file can be planned.
variables {
  project_id = "acme-dev-1"
  domains    = ["ai.example.com"]
  images = {
    gateway        = "r/gateway@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
    orchestrator   = "r/orchestrator@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
    migrate        = "r/tandem@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
    database_proxy = "r/proxy@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
    collector      = "r/collector@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
    worker         = "r/worker@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
    vllm           = "r/vllm@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
  }
  alert_emails = { oncall = "oncall@example.com" }
}

run "the_environment_can_be_planned" {
  command = plan
  assert {
    condition     = output.connection_budget.needed <= output.connection_budget.allowed
    error_message = "Its processes fit its database."
  }
}

# Manifests are rendered from infra/kubernetes/example where there is no project: it has the form of what is said here.
run "the_example_of_manifests_has_this_form" {
  command = plan
  assert {
    condition = alltrue([
      for name in ["project_id", "environment", "internal_domain", "domains", "clusters"] : can(jsondecode(file("../../kubernetes/example/${var.environment}.json"))[name].value)
    ])
    error_message = "The example lacks an output that manifests need."
  }
  assert {
    condition     = { for name, of in output.models : name => sort(keys(of)) } == { for name, of in jsondecode(file("../../kubernetes/example/${var.environment}.json")).models.value : name => sort(keys(of)) }
    error_message = "The example has other models, or says other things of them: ${jsonencode({ for name, of in output.models : name => keys(of) })}"
  }
  assert {
    condition = jsonencode({ for region, of in output.workers : region => sort(concat(keys(of), keys(of.env), keys(of.secrets))) }) == jsonencode({
      for region, of in jsondecode(file("../../kubernetes/example/${var.environment}.json")).workers.value : region => sort(concat(keys(of), keys(of.env), keys(of.secrets)))
    })
    error_message = "The example's workers have other settings: ${jsonencode({ for region, of in output.workers : region => concat(keys(of.env), keys(of.secrets)) })}"
  }
  assert {
    condition = jsonencode({ for name, of in output.models : name => [of.machine_type, of.gpu_count, of.accelerator, of.requests, of.vllm_args, of.min_replicas, of.max_replicas, of.endpoint] }) == jsonencode({
      for name, of in jsondecode(file("../../kubernetes/example/${var.environment}.json")).models.value : name => [of.machine_type, of.gpu_count, of.accelerator, of.requests, of.vllm_args, of.min_replicas, of.max_replicas, of.endpoint]
    })
    error_message = "The example's models are not those of this environment: ${jsonencode({ for name, of in output.models : name => [of.machine_type, of.gpu_count, of.accelerator, of.requests, of.vllm_args, of.min_replicas, of.max_replicas, of.endpoint] })}"
  }
  assert {
    condition     = jsonencode(output.network_addresses) == jsonencode(jsondecode(file("../../kubernetes/example/${var.environment}.json")).network_addresses.value)
    error_message = "The example has other addresses: ${jsonencode(output.network_addresses)}"
  }
}
