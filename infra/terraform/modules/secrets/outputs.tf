output "ids" {
  description = "The secrets' names in Secret Manager, by ours; known once their rights are granted."
  value       = { for name, secret in google_secret_manager_secret.main : name => secret.secret_id }
  depends_on  = [google_secret_manager_secret_iam_member.reader]
}
