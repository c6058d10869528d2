# Two accounts for CI: one that may look (plan), one that may change (apply). Neither has a key. Who administers accounts may act as any of
# this project: leave none in it with a basic role, such as Compute Engine's default one has had in older organisations.

locals {
  plan_roles = toset([
    "roles/viewer",
    "roles/iam.securityReviewer",
    "roles/secretmanager.viewer",
    "roles/container.clusterViewer",
    "roles/serviceusage.serviceUsageConsumer",
  ])

  apply_roles = toset([
    "roles/alloydb.admin",
    "roles/artifactregistry.admin",
    "roles/bigquery.admin",
    "roles/certificatemanager.editor",
    "roles/cloudsql.admin",
    "roles/compute.loadBalancerAdmin",
    "roles/compute.networkAdmin",
    "roles/compute.securityAdmin",
    "roles/container.admin",
    "roles/dns.admin",
    "roles/iam.serviceAccountAdmin",
    "roles/logging.configWriter",
    "roles/monitoring.admin",
    "roles/networkconnectivity.consumerNetworkAdmin",
    "roles/pubsub.admin",
    "roles/run.admin",
    "roles/secretmanager.admin",
    "roles/servicenetworking.networksAdmin",
    "roles/serviceusage.serviceUsageConsumer",
    "roles/storage.admin",
    "roles/viewer",
    "roles/vpcaccess.admin",
  ])

  # What the apply account may grant to others in the project: the roles of the services, and no more. It can't make itself owner.
  grantable_roles = [
    "roles/aiplatform.user",
    "roles/alloydb.client",
    "roles/alloydb.databaseUser",
    "roles/bigquery.jobUser",
    "roles/cloudsql.client",
    "roles/cloudsql.instanceUser",
    "roles/cloudtrace.agent",
    "roles/container.defaultNodeServiceAccount",
    "roles/logging.logWriter",
    "roles/monitoring.metricWriter",
    "roles/monitoring.viewer",
    "roles/serviceusage.serviceUsageConsumer",
  ]
}

resource "google_service_account" "ci" {
  for_each = {
    plan  = "Looks at the platform and plans changes"
    apply = "Changes the platform"
  }

  account_id   = "${var.prefix}-ci-${each.key}"
  display_name = "Tandem CI: ${each.key}"
  description  = each.value

  depends_on = [google_project_service.api]
}

resource "google_project_iam_member" "plan" {
  #checkov:skip=CKV_GCP_117:A plan reads everything; roles/viewer changes nothing and reads no secret value
  for_each = local.plan_roles

  project = var.project_id
  role    = each.key
  member  = google_service_account.ci["plan"].member
}

resource "google_project_iam_member" "apply" {
  #checkov:skip=CKV_GCP_117:An apply plans first, so it reads what a plan reads
  #checkov:skip=CKV_GCP_49:It makes the accounts of services; what it may grant them is a closed list (apply_grants)
  for_each = local.apply_roles

  project = var.project_id
  role    = each.key
  member  = google_service_account.ci["apply"].member
}

resource "google_project_iam_member" "apply_grants" {
  project = var.project_id
  role    = "roles/resourcemanager.projectIamAdmin"
  member  = google_service_account.ci["apply"].member

  condition {
    title       = "roles-of-services-only"
    description = "May grant and revoke the roles that services of the platform need."
    expression  = "api.getAttribute('iam.googleapis.com/modifiedGrantsByRole', []).hasOnly([${join(", ", [for role in local.grantable_roles : "'${role}'"])}])"
  }
}

# Both need to write: even a plan takes the lock.
resource "google_storage_bucket_iam_member" "ci_state" {
  for_each = google_service_account.ci

  bucket = google_storage_bucket.state.name
  role   = "roles/storage.objectUser"
  member = each.value.member
}

resource "google_iam_workload_identity_pool" "ci" {
  count = var.github == null ? 0 : 1

  workload_identity_pool_id = "${var.prefix}-ci"
  display_name              = "Tandem CI"

  depends_on = [google_project_service.api]
}

resource "google_iam_workload_identity_pool_provider" "github" {
  #checkov:skip=CKV_GCP_125:The condition is on the numbers of repository and owner, which is stricter than the names in sub
  count = var.github == null ? 0 : 1

  workload_identity_pool_id          = google_iam_workload_identity_pool.ci[0].workload_identity_pool_id
  workload_identity_pool_provider_id = "github"
  display_name                       = "GitHub Actions"

  attribute_mapping = {
    "google.subject"          = "assertion.sub"
    "attribute.repository_id" = "assertion.repository_id"
    "attribute.ref"           = "assertion.ref"
    "attribute.may"           = "assertion.ref == '${var.github.apply_ref}' && assertion.event_name != 'pull_request' ? 'apply' : 'plan'"
  }
  # Numbers, not names: whoever takes a name that was given up gets nothing.
  attribute_condition = "assertion.repository_id == '${var.github.repository_id}' && assertion.repository_owner_id == '${var.github.owner_id}'"

  oidc {
    issuer_uri = "https://token.actions.githubusercontent.com"
  }
}

resource "google_service_account_iam_member" "github_plan" {
  for_each = var.github == null ? toset([]) : toset(["plan", "apply"])

  service_account_id = google_service_account.ci["plan"].name
  role               = "roles/iam.workloadIdentityUser"
  member             = "principalSet://iam.googleapis.com/${google_iam_workload_identity_pool.ci[0].name}/attribute.may/${each.key}"
}

resource "google_service_account_iam_member" "github_apply" {
  count = var.github == null ? 0 : 1

  service_account_id = google_service_account.ci["apply"].name
  role               = "roles/iam.workloadIdentityUser"
  member             = "principalSet://iam.googleapis.com/${google_iam_workload_identity_pool.ci[0].name}/attribute.may/apply"
}

resource "google_service_account_iam_member" "cloud_build" {
  for_each = var.cloud_build_project_number == null ? {} : google_service_account.ci

  service_account_id = each.value.name
  role               = "roles/iam.serviceAccountTokenCreator"
  member             = "serviceAccount:service-${var.cloud_build_project_number}@gcp-sa-cloudbuild.iam.gserviceaccount.com"
}

# A build that runs as these accounts writes its own log.
resource "google_project_iam_member" "ci_logs" {
  for_each = google_service_account.ci

  project = var.project_id
  role    = "roles/logging.logWriter"
  member  = each.value.member
}
