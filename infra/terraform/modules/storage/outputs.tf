output "names" {
  description = "The buckets' names in Cloud Storage, by ours; known once their rights are granted."
  value       = { for name, bucket in google_storage_bucket.main : name => bucket.name }
  depends_on  = [google_storage_bucket_iam_member.reader, google_storage_bucket_iam_member.writer]
}
