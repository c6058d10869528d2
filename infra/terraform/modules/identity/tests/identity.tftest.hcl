mock_provider "google" {
  override_during = plan

  mock_resource "google_service_account" {
    defaults = {
      name   = "projects/acme-dev-1/serviceAccounts/tandem-x@acme-dev-1.iam.gserviceaccount.com"
      email  = "tandem-x@acme-dev-1.iam.gserviceaccount.com"
      member = "serviceAccount:tandem-x@acme-dev-1.iam.gserviceaccount.com"
    }
  }
}

variables {
  project_id    = "acme-dev-1"
  prefix        = "tandem-dev"
  workload_pool = "acme-dev-1.svc.id.goog"
  deployers     = { ci = "serviceAccount:ci@acme-dev-1.iam.gserviceaccount.com" }
  accounts = {
    gateway = { description = "The public API", roles = ["roles/cloudsql.client"] }
    worker  = { description = "Batches", roles = ["roles/cloudsql.client"], kubernetes = ["tandem/worker"] }
  }
}

run "each_service_has_an_account_of_its_own" {
  command = plan
  assert {
    condition     = length(google_service_account.main) == 2 && google_service_account.main["gateway"].account_id == "tandem-dev-gateway"
    error_message = "One account per service."
  }
  assert {
    condition     = output.emails["gateway"] == "tandem-dev-gateway@acme-dev-1.iam.gserviceaccount.com" && output.members["worker"] == "serviceAccount:tandem-dev-worker@acme-dev-1.iam.gserviceaccount.com"
    error_message = "Their addresses are known before they are made."
  }
}

run "kubernetes_accounts_act_without_keys" {
  command = plan
  assert {
    condition     = google_service_account_iam_member.kubernetes["worker tandem/worker"].member == "serviceAccount:acme-dev-1.svc.id.goog[tandem/worker]"
    error_message = "The worker's Kubernetes account acts as the worker."
  }
}

run "without_a_cluster_there_is_no_pool_to_name" {
  command = plan
  variables {
    workload_pool = null
  }
  assert {
    condition     = length(google_service_account_iam_member.kubernetes) == 0
    error_message = "A binding to a pool that is not there fails."
  }
}

run "ci_acts_as_these_accounts_only" {
  command = plan
  assert {
    condition     = length(google_service_account_iam_member.deployer) == 2 && google_service_account_iam_member.deployer["gateway ci"].role == "roles/iam.serviceAccountUser"
    error_message = "On each account of a service, and on no other."
  }
}

run "everybody_as_deployer_is_refused" {
  command = plan
  variables {
    deployers = { all = "allAuthenticatedUsers" }
  }
  expect_failures = [var.deployers]
}

run "a_basic_role_is_refused" {
  command = plan
  variables {
    accounts = { gateway = { description = "x", roles = ["roles/editor"] } }
  }
  expect_failures = [var.accounts]
}

run "all_secrets_of_the_project_are_refused" {
  command = plan
  variables {
    accounts = { gateway = { description = "x", roles = ["roles/secretmanager.secretAccessor"] } }
  }
  expect_failures = [var.accounts]
}

run "a_long_name_is_refused" {
  command = plan
  variables {
    accounts = { a-service-with-a-long-name = { description = "x" } }
  }
  expect_failures = [var.accounts]
}

run "capitals_are_refused" {
  command = plan
  variables {
    accounts = { Gateway = { description = "x" } }
  }
  expect_failures = [var.accounts]
}

run "a_kubernetes_account_has_a_namespace" {
  command = plan
  variables {
    accounts = { worker = { description = "x", kubernetes = ["worker"] } }
  }
  expect_failures = [var.accounts]
}
