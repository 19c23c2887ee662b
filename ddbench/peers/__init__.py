"""What other toolkits of this field take and mean, told in their terms and in ours."""
