# Addresses follow from names, so that they are in a plan before the accounts are there.
locals {
  emails = { for name in keys(var.accounts) : name => "${var.prefix}-${name}@${var.project_id}.iam.gserviceaccount.com" }
}

output "emails" {
  description = "Addresses of the accounts, by service; whatever uses one waits until its rights are granted."
  value       = local.emails
  depends_on  = [google_service_account.main, google_project_iam_member.main, google_service_account_iam_member.deployer]
}

output "members" {
  description = "The accounts as members of a binding, by service."
  value       = { for name, email in local.emails : name => "serviceAccount:${email}" }
  depends_on  = [google_service_account.main]
}
