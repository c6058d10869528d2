mock_provider "helm" {
  override_during = plan
}

override_data {
  target = data.terraform_remote_state.platform
  values = {
    outputs = {
      clusters = {
        models  = { asia-south1 = { name = "tandem-dev-models", endpoint = "gke-1.asia-south1.gke.goog" } }
        workers = { asia-south1 = { name = "tandem-dev-workers", endpoint = "gke-2.asia-south1.gke.goog" } }
      }
      service_accounts = {
        keda      = "tandem-dev-keda@acme-dev-1.iam.gserviceaccount.com"
        collector = "tandem-dev-collector@acme-dev-1.iam.gserviceaccount.com"
      }
    }
  }
}

variables {
  state_bucket = "acme-dev-1-tandem-state"
  region       = "asia-south1"
  cluster      = "workers"
}

run "operators_act_as_accounts_of_their_own" {
  command = plan
  assert {
    condition     = yamldecode(helm_release.keda.values[0]).serviceAccount.operator.annotations["iam.gke.io/gcp-service-account"] == "tandem-dev-keda@acme-dev-1.iam.gserviceaccount.com"
    error_message = "KEDA reads metrics as its own account."
  }
  assert {
    condition     = yamldecode(helm_release.collector.values[0]).config.receivers.otlp.protocols.grpc.endpoint == "$${env:MY_POD_IP}:4317"
    error_message = "The collector takes OTLP where processes send it."
  }
}

run "every_chart_has_a_version_and_comes_whole_or_not_at_all" {
  command = plan
  assert {
    condition     = helm_release.keda.version == "2.20.2" && helm_release.keda.atomic && helm_release.collector.atomic
    error_message = "The same apply gives the same cluster."
  }
}

run "rabbitmq_is_a_switch" {
  command = plan
  variables {
    rabbitmq = true
  }
  assert {
    condition     = length(helm_release.rabbitmq_operator) == 1
    error_message = "The operator is there when it is asked for."
  }
}

run "rabbitmq_among_models_is_refused" {
  command = plan
  variables {
    cluster  = "models"
    rabbitmq = true
  }
  expect_failures = [var.rabbitmq]
}

run "a_region_without_the_cluster_is_refused" {
  command = plan
  variables {
    region = "europe-west4"
  }
  expect_failures = [terraform_data.cluster]
}

run "an_unknown_cluster_is_refused" {
  command = plan
  variables {
    cluster = "all"
  }
  expect_failures = [var.cluster]
}

run "a_range_of_versions_is_refused" {
  command = plan
  variables {
    charts = { keda = "~> 2.0" }
  }
  expect_failures = [var.charts]
}

run "a_zone_is_no_region" {
  command = plan
  variables {
    region = "asia-south1-a"
  }
  expect_failures = [var.region]
}
