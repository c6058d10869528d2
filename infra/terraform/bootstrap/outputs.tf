output "state_bucket" {
  description = "Bucket of Terraform's state: the `bucket` of every root's backend."
  value       = google_storage_bucket.state.name
}

output "state_kms_key" {
  description = "Key that the state is encrypted with."
  value       = google_kms_crypto_key.state.id
}

output "ci_accounts" {
  description = "Addresses of the CI accounts, by what they may do: plan, apply."
  value       = { for name, account in google_service_account.ci : name => account.email }
}

output "github_provider" {
  description = "`workload_identity_provider` of GitHub's auth action; null without GitHub."
  value       = one(google_iam_workload_identity_pool_provider.github[*].name)
}

output "project_number" {
  description = "Number of the project."
  value       = data.google_project.this.number
}
