# One service account per service, each with what it needs. Rights on single buckets, topics and secrets are granted beside those.

locals {
  refused = [
    "roles/owner", "roles/editor", "roles/viewer", "roles/iam.serviceAccountTokenCreator", "roles/iam.serviceAccountUser",
    "roles/iam.securityAdmin", "roles/resourcemanager.projectIamAdmin", "roles/storage.admin", "roles/secretmanager.admin",
    "roles/secretmanager.secretAccessor", "roles/pubsub.admin", "roles/run.admin", "roles/cloudsql.admin", "roles/bigquery.admin",
  ]

  grants = merge([
    for name, account in var.accounts : { for role in account.roles : "${name} ${role}" => { account = name, role = role } }
  ]...)

  deployers = merge([
    for name in keys(var.accounts) : { for who, member in var.deployers : "${name} ${who}" => { account = name, member = member } }
  ]...)

  subjects = var.workload_pool == null ? {} : merge([
    for name, account in var.accounts : { for subject in account.kubernetes : "${name} ${subject}" => { account = name, subject = subject } }
  ]...)
}

resource "google_service_account" "main" {
  for_each = var.accounts

  account_id   = "${var.prefix}-${each.key}"
  display_name = "Tandem ${each.key}"
  description  = each.value.description
}

resource "google_project_iam_member" "main" {
  for_each = local.grants

  project = var.project_id
  role    = each.value.role
  member  = google_service_account.main[each.value.account].member
}

resource "google_service_account_iam_member" "kubernetes" {
  for_each = local.subjects

  service_account_id = google_service_account.main[each.value.account].name
  role               = "roles/iam.workloadIdentityUser"
  member             = "serviceAccount:${var.workload_pool}[${each.value.subject}]"
}

# Whoever deploys a service acts as its account: on these accounts, not on all of the project.
resource "google_service_account_iam_member" "deployer" {
  for_each = local.deployers

  service_account_id = google_service_account.main[each.value.account].name
  role               = "roles/iam.serviceAccountUser"
  member             = each.value.member
}
